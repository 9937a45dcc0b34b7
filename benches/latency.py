"""From a commit to its rows, in continuous mode: one process writes commits, another one notes when
each log file is there, a third asks Postgres every millisecond."""

import multiprocessing
import pathlib
import random
import time

import psycopg
import pyarrow
from deltalake import CommitProperties, DeltaTable, write_deltalake
from harness.daemon import Daemon, quantile

ROWS_AT_MOST = 1_000
HISTOGRAM = "lakeferry_commit_to_visible_seconds"
EACH_SECOND = 5


def rows(commit, first, count):
    ids = range(first, first + count)
    return pyarrow.table({
        "id": pyarrow.array(ids, pyarrow.int64()),
        "commit": pyarrow.array([commit] * count, pyarrow.int64()),
        "word": pyarrow.array([f"row {id} of {commit}" for id in ids]),
    })


def write(path, commits, began):
    """Makes the commits, each at its time; sizes from 1 to 1,000 rows, as many of each magnitude."""
    chance, first = random.Random(7), 1
    properties = CommitProperties()
    for commit in range(1, commits + 1):
        count = round(ROWS_AT_MOST ** chance.random())
        table = rows(commit, first, count)
        first += count
        time.sleep(max(0.0, began + commit / EACH_SECOND - time.time()))
        write_deltalake(path, table, mode="append", commit_properties=properties)


def watch(path, commits, seen):
    """Notes when the log file of each commit is there."""
    for commit in range(1, commits + 1):
        file = pathlib.Path(path) / "_delta_log" / f"{commit:020}.json"
        while not file.exists():
            time.sleep(0.0005)
        seen[commit] = time.time()


def ask(url, commits, seen):
    """Notes when the rows of each commit are there."""
    with psycopg.connect(url, autocommit=True) as connection:
        done = 0
        while done < commits:
            newest = connection.execute("SELECT max(commit) FROM latency").fetchone()[0] or 0
            now = time.time()
            for commit in range(done + 1, newest + 1):
                seen[commit] = now
            done = max(done, newest)
            time.sleep(0.001)


def run(server, arguments, work, promises):
    commits = arguments.commits
    path = work / "latency"
    write_deltalake(path, rows(0, 0, 1), mode="overwrite",
                    configuration={"delta.enableChangeDataFeed": "false"})
    if DeltaTable(path).version() != 0:
        raise SystemExit(f"{path} is there already")
    server.create("latency")
    url = server.url("latency")
    with psycopg.connect(url, autocommit=True) as connection:
        # The index is for who asks; it costs the target as any index of a user's does.
        connection.execute("CREATE TABLE latency (id bigint PRIMARY KEY, commit bigint, word text)")
        connection.execute("CREATE INDEX ON latency (commit)")
    daemon = Daemon(arguments.lakeferry, (
        f'version: 1\ntargets:\n  bench: {{ url: "{url}" }}\njobs:\n  latency:\n    from: {path}\n'
        f"    into: bench.public.latency\n    key: [id]\n    mode: continuous\n"), work / "daemon.log")
    try:
        daemon.wait(lambda now: now.get('lakeferry_watermark_version{job="latency"}') == 0, 60)
        before = daemon.metrics()
        # deltalake's runtime does not survive a fork.
        spawn = multiprocessing.get_context("spawn")
        appeared = spawn.Array("d", commits + 1, lock=False)
        visible = spawn.Array("d", commits + 1, lock=False)
        began = time.time() + 5
        works = [(watch, path, appeared), (ask, url, visible), (write, path, began)]
        processes = [spawn.Process(target=work, args=(at, commits, other), daemon=True)
                     for work, at, other in works]
        for process in processes:
            process.start()
        for process in reversed(processes):
            process.join(commits / EACH_SECOND + 60)
            if process.exitcode != 0:
                raise SystemExit("what measures failed, or it took too long")
        head = 'lakeferry_watermark_version{job="latency"}'
        daemon.wait(lambda now: now.get(head) == commits, 30)
        after = daemon.metrics()
    finally:
        daemon.stop()
    waits = sorted(1000 * (visible[commit] - appeared[commit]) for commit in range(1, commits + 1))
    told = {name: value - before.get(name, 0) for name, value in after.items()}
    at = lambda share: waits[min(int(share * commits), commits - 1)]  # noqa: E731
    promises.add("commits", commits, "")
    promises.add("p50, seen by a second process", at(0.5), "ms", 50)
    promises.add("p99", at(0.99), "ms", 250)
    promises.add("p99.9", at(0.999), "ms")
    promises.add("longest", waits[-1], "ms")
    for share in (0.5, 0.99):
        own = 1000 * quantile(told, HISTOGRAM, share)
        promises.add(f"p{100 * share:g} by the daemon's histogram", own, "ms")
        promises.add("and how far it is off", 100 * abs(own / at(share) - 1), "%", 20)
    draw(waits, arguments)


def draw(waits, arguments):
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(8, 3))
    axes.hist(waits, bins=100, color="#1f6feb")
    axes.set_title(f"from commit to visible, {len(waits)} commits")
    axes.set_xlabel("milliseconds")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(pathlib.Path(arguments.results) / "latency.svg", metadata={"Date": None})
    pyplot.close(figure)
