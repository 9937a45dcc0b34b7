"""A run of 10,000 changes onto tables of one million and of sixty million rows."""

import statistics
import subprocess

from deltalake import DeltaTable
from harness.measuring import measure

CHANGES = 10_000


def run(server, arguments, work, promises):
    walls = {}
    # The table `narrow` has ten million rows at scale 1.
    sizes = [arguments.scale * 0.1, arguments.scale * 6]
    for scale in sizes:
        rows = round(scale * 10_000_000)
        path = work / f"growth-{rows}"
        path.mkdir()
        subprocess.run([arguments.data_maker, "narrow", str(scale), path], check=True)
        table = DeltaTable(path)
        table.alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
        server.create("growth")
        config = work / "growth.yaml"
        config.write_text(
            f'version: 1\ntargets:\n  bench: {{ url: "{server.url("growth")}" }}\njobs:\n'
            f"  growth:\n    from: {path}\n    into: bench.public.growth\n    key: [id]\n",
            encoding="utf-8")
        sync = [arguments.lakeferry, "--config", str(config), "sync"]
        log = work / "contenders.log"
        measure(server, [[sync]], log)
        step = max(rows // CHANGES, 1)
        walls[scale] = []
        for lap in range(arguments.rounds + 1):
            # All over the table, other rows each time.
            DeltaTable(path).update(updates={"number": "number + 1"},
                                    predicate=f"id % {step} = {lap % step}")
            figures = measure(server, [[sync]], log)
            if lap:
                walls[scale].append(figures.wall)
        changed = server.sql("SELECT updated FROM lakeferry.runs ORDER BY run_id DESC LIMIT 1",
                             "growth")[0][0]
        if changed != len(range((arguments.rounds % step), rows, step)):
            raise SystemExit(f"{changed} rows were updated")
        promises.add(f"{changed} changes onto {rows} rows", statistics.median(walls[scale]), "s")
        server.create("growth")
        subprocess.run(["rm", "-rf", path], check=True)
    small, large = (statistics.median(walls[scale]) for scale in sizes)
    promises.add("sixty times the rows, so many times the time", large / small, "", 1.3)
