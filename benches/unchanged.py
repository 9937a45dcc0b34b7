"""A commit that writes rows again as they are: what it costs the target, by its write-ahead log."""

import subprocess

import pyarrow
from deltalake import DeltaTable, write_deltalake
from harness.measuring import measure


def run(server, arguments, work, promises):
    rows, again = arguments.table_rows, arguments.table_rows // 5
    for name, feed in [("with the feed", "true"), ("without the feed", "false")]:
        path = work / f"unchanged-{feed}"
        ids = pyarrow.array(range(rows), pyarrow.int64())
        words = pyarrow.array([f"row {id}" for id in range(rows)])
        write_deltalake(path, pyarrow.table({"id": ids, "word": words}),
                        configuration={"delta.enableChangeDataFeed": feed})
        server.create("unchanged")
        url = server.url("unchanged")
        config = work / "unchanged.yaml"
        config.write_text(
            f'version: 1\ntargets:\n  bench: {{ url: "{url}" }}\njobs:\n  unchanged:\n'
            f"    from: {path}\n    into: bench.public.unchanged\n    key: [id]\n"
            f"    refresh_above: 100%\n", encoding="utf-8")
        sync = [arguments.lakeferry, "--config", str(config), "sync"]
        measure(server, [[sync]], work / "contenders.log")
        # Hint bits and visibility are settled, as they are some time after a fill.
        server.sql("VACUUM (FREEZE, ANALYZE) unchanged", "unchanged")
        server.sql("CHECKPOINT")
        DeltaTable(path).update(updates={"word": "word"}, predicate=f"id < {again}")
        begin = server.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
        figures = measure(server, [[sync]], work / "contenders.log")
        end = server.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
        nodes = server.sql(
            "SELECT pg_relation_filenode(oid) FROM pg_class WHERE oid = 'unchanged'::regclass "
            "UNION ALL SELECT pg_relation_filenode(indexrelid) FROM pg_index "
            "WHERE indrelid = 'unchanged'::regclass UNION ALL "
            "SELECT pg_relation_filenode(reltoastrelid) FROM pg_class "
            "WHERE oid = 'unchanged'::regclass AND reltoastrelid <> 0", "unchanged")
        database = server.sql("SELECT oid FROM pg_database WHERE datname = 'unchanged'")[0][0]
        dump = subprocess.run(
            [server.binaries / "pg_waldump", "--path", server.data / "pg_wal", "--start", begin,
             "--end", end], check=True, capture_output=True, text=True).stdout.splitlines()
        if not dump:
            raise SystemExit("nothing was written at all, not even a watermark")
        named = [f"1663/{database}/{node}" for (node,) in nodes]
        here = [line for line in dump
                if any(f"rel {name} " in line or f"rel {name};" in line for name in named)]
        told = server.sql("SELECT version FROM lakeferry.progress", "unchanged")
        if told[0][0] != DeltaTable(path).version():
            raise SystemExit(f"the target is at {told}")
        promises.add(f"rows written again as they are, {name}", again, "")
        promises.add("records of the log on the target's relations", len(here), "", 0)
        promises.add("records of the log in all", len(dump), "")
        promises.add("wall", figures.wall, "s")
