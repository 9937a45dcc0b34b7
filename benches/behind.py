"""What a job takes of memory that is far behind: by one commit of 2 GB, by 10,000 commits of ten
rows."""

import random
import string
import subprocess

import pyarrow
from deltalake import DeltaTable, write_deltalake
from harness.measuring import measure

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
    table = DeltaTable(path)
    for commit in range(commits):
        ids = range(1_000 + 10 * commit, 1_010 + 10 * commit)
        ten = pyarrow.table([pyarrow.array(ids, pyarrow.int64()),
                             pyarrow.array([f"row {id}" for id in ids])], schema=SCHEMA)
        write_deltalake(table, ten, mode="append")
    figures = measure(server, [[sync]], work / "contenders.log")
    check(server, 10 * commits + 1_000)
    promises.add("commits of ten rows", commits, "")
    promises.add("resident at most", figures.rss_mib, "MiB", MOST_MIB)
    promises.add("wall", figures.wall, "s")


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
