"""Jobs without anything to do: what a daemon of a thousand takes."""

import shutil
import time

import pyarrow
from deltalake import write_deltalake
from harness.daemon import Daemon


def run(server, arguments, work, promises):
    jobs = arguments.jobs
    tables = work / "idle"
    first = tables / "t00000"
    write_deltalake(first, pyarrow.table({"id": pyarrow.array([1, 2, 3], pyarrow.int64())}))
    for number in range(1, jobs):
        shutil.copytree(first, tables / f"t{number:05}")
    server.create("idle")
    # Half of them watch their tables, half look every minute.
    lines = []
    for number in range(jobs):
        when = "mode: continuous" if number % 2 else "schedule: EVERY 1 MINUTE"
        lines.append(f"  j{number:05}: {{ from: {tables}/t{number:05}, "
                     f"into: bench.public.t{number:05}, key: [id], {when} }}\n")
    config = (f'version: 1\ntargets:\n  bench: {{ url: "{server.url("idle")}", close_after: 5s }}\n'
              f"jobs:\n{''.join(lines)}")
    daemon = Daemon(arguments.lakeferry, config, work / "daemon.log")
    try:
        def filled(now):
            return sum(name.startswith("lakeferry_watermark_version") for name in now) == jobs
        daemon.wait(filled, 1800)
        daemon.wait(lambda now: now["lakeferry_connections"] == 0, 120)
        looks = looked(daemon)
        xid = server.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0][0]
        cpu, began, most, rss = daemon.cpu_seconds(), time.monotonic(), 0, 0.0
        while time.monotonic() < began + arguments.seconds:
            time.sleep(1)
            most = max(most, server.sql("SELECT count(*) FROM pg_stat_activity "
                                        "WHERE datname = 'idle'")[0][0])
            rss = max(rss, daemon.rss_mib())
        took = time.monotonic() - began
        cpu = daemon.cpu_seconds() - cpu
        looks = looked(daemon) - looks
        xids = server.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0][0] - xid
    finally:
        daemon.stop()
    promises.add("jobs", jobs, "")
    promises.add("seconds", took, "s")
    promises.add("processor, of a core", 100 * cpu / took, "%", 2)
    promises.add("resident at most", rss, "MiB", 500 * 10**6 / 2**20)
    promises.add("connections to Postgres at most", most, "", 0)
    promises.add("transaction ids assigned", xids, "", 0)
    promises.add("looks at a source, each minute", 60 * looks / took, "")


def looked(daemon):
    return sum(value for name, value in daemon.metrics().items()
               if name.startswith("lakeferry_runs_total"))
