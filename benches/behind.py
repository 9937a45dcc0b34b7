"""What a job takes of memory that is far behind: by one commit of 2 GB, by 10,000 commits of ten
rows."""

import json
import random
import string
import subprocess
import time

import pyarrow
from deltalake import write_deltalake
from harness.measuring import measure
from pyarrow import parquet

MOST_MIB = 300 * 10**6 / 2**20
SCHEMA = pyarrow.schema([("id", pyarrow.int64()), ("word", pyarrow.string())])
BATCH = 20_000


def batches(first, count, length):
    """Rows whose texts no compression makes much smaller."""
    chance = random.Random(7)
    letters = "".join(chance.choices(string.ascii_letters + string.digits, k=1 << 20))
    end = first + count
    for begin in range(first, end, BATCH):
        ids = range(begin, min(begin + BATCH, end))
        words = []
        for _ in ids:
            place = chance.randrange(len(letters) - length)
            words.append(letters[place:place + length])
        yield pyarrow.record_batch([pyarrow.array(ids, pyarrow.int64()), pyarrow.array(words)],
                                   schema=SCHEMA)


def run(server, arguments, work, promises):
    large = arguments.behind_bytes
    rows = large // 1_000
    # As much is there already, so that it is the changes that are read and not all anew.
    path = begun(work, "large", batches(0, rows, 1_000))
    sync = ready(server, arguments, work, path)
    more = pyarrow.RecordBatchReader.from_batches(SCHEMA, batches(rows, rows, 1_000))
    write_deltalake(path, more, mode="append")
    figures = measure(server, [[sync]], work / "contenders.log")
    check(server, 2 * rows)
    subprocess.run(["rm", "-rf", path], check=True)
    promises.add(f"one commit of {rows} rows", large / 10**9, "GB of text")
    promises.add("resident at most", figures.rss_mib, "MiB", MOST_MIB)
    promises.add("wall", figures.wall, "s")
    commits = arguments.commits * 5
    path = begun(work, "many", batches(0, 1_000, 10))
    sync = ready(server, arguments, work, path)
    for commit in range(commits):
        append(path, commit)
    figures = measure(server, [[sync]], work / "contenders.log")
    check(server, 10 * commits + 1_000)
    promises.add("commits of ten rows", commits, "")
    promises.add("resident at most", figures.rss_mib, "MiB", MOST_MIB)
    promises.add("wall", figures.wall, "s")


def append(path, commit):
    """Ten rows, by hand: a writer that looks at all files each time takes most of an hour for ten thousand
    commits. There is no checkpoint of them."""
    ids = range(1_000 + 10 * commit, 1_010 + 10 * commit)
    ten = pyarrow.table([pyarrow.array(ids, pyarrow.int64()),
                         pyarrow.array([f"row {id}" for id in ids])], schema=SCHEMA)
    name = f"ten-{commit}.parquet"
    parquet.write_table(ten, path / name)
    add = {"path": name, "partitionValues": {}, "size": (path / name).stat().st_size,
           "modificationTime": int(time.time() * 1000), "dataChange": True}
    log = path / "_delta_log" / f"{commit + 1:020}.json"
    log.write_text(json.dumps({"add": add}) + "\n", encoding="utf-8")


def begun(work, name, rows):
    """The path of a table with these rows."""
    path = work / f"behind-{name}"
    write_deltalake(path, pyarrow.RecordBatchReader.from_batches(SCHEMA, rows))
    return path


def ready(server, arguments, work, path):
    """The command of a job whose target has what the table has now."""
    server.create("behind")
    config = work / "behind.yaml"
    config.write_text(
        f'version: 1\ntargets:\n  bench: {{ url: "{server.url("behind")}" }}\njobs:\n  behind:\n'
        f"    from: {path}\n    into: bench.public.behind\n    key: [id]\n    refresh_above: 100%\n",
        encoding="utf-8")
    sync = [arguments.lakeferry, "--config", str(config), "sync"]
    measure(server, [[sync]], work / "contenders.log")
    return sync


def check(server, rows):
    has = server.sql("SELECT count(*) FROM behind", "behind")[0][0]
    if has != rows:
        raise SystemExit(f"the target has {has} rows, not {rows}")
