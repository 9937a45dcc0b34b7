"""Measures Lakeferry beside what Postgres alone takes, and beside other tools.

    python bench.py backfill [--data lineitem|wide|narrow|text|nested] [--scale 1] [--rounds 5]
    python bench.py increment [--scale 1] [--rounds 5]
    python bench.py latency|idle|unchanged|growth|behind

The first two are races; the others hold a figure against what is promised.

`cargo xtask bench …` makes the environment and the binaries and calls this. Contenders take turns:
each round, each of them once, in an order that moves on by one; the first round warms up and does
not count. A run counts only if the target has exactly the rows that it should.
"""

import argparse
import importlib
import os
import pathlib
import platform
import subprocess
import sys

from harness import report
from harness.measuring import Failed, Figures, measure
from harness.promises import Promises
from harness.server import Server
from harness.table import Table

HERE = pathlib.Path(__file__).parent
KEYS = {"lineitem": ["l_orderkey", "l_linenumber"]}
# Made by the data's two commits of changes.
CHANGES_BEGIN = -2


class Bench:
    """One benchmark: its data, its server, and who takes part."""

    def __init__(self, name, arguments, data):
        self.name, self.arguments = name, arguments
        self.work = pathlib.Path(arguments.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.log = self.work / "contenders.log"
        self.log.unlink(missing_ok=True)
        self.table = Table(data if data != "changed" else "lineitem",
                           KEYS.get(data if data != "changed" else "lineitem", ["id"]))
        self.delta = self._data(data)
        self.server = Server(arguments.postgres)
        self.url = self.server.url("bench")
        os.environ["BENCH_TCP_URL"] = self.server.tcp_url("bench")
        self.expected = None

    def _data(self, data):
        """The Delta table, made where it is not there yet."""
        folder = self.work / f"{data}-{self.arguments.scale:g}"
        if not (folder / "_delta_log").exists():
            writing = folder.with_suffix(".writing")
            subprocess.run(["rm", "-rf", writing], check=True)
            writing.mkdir()
            subprocess.run([self.arguments.data_maker, data, str(self.arguments.scale), writing],
                           check=True)
            writing.rename(folder)
        return folder

    def config(self, source):
        """A configuration of one job with the defaults; its path."""
        path = self.work / "lakeferry.yaml"
        path.write_text(
            f'version: 1\ntargets:\n  bench: {{ url: "{self.url}" }}\njobs:\n  bench:\n'
            f"    from: {source}\n    into: bench.public.{self.table.name}\n"
            f"    key: [{self.table.key_sql()}]\n", encoding="utf-8")
        return path

    def lakeferry(self, source):
        return [self.arguments.lakeferry, "--config", str(self.config(source)), "sync"]

    def psql(self, *commands):
        """One session for all of the commands."""
        words = [str(self.server.binaries / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-d", self.url]
        return words + [word for command in commands for word in ("-c", command)]

    def peer(self, script, *more):
        return [sys.executable, str(HERE / "peers" / script), str(self.delta), self.url,
                self.table.name, self.table.key_sql(), *map(str, more)]

    def settle(self):
        """Notes what the target holds now as what it should."""
        self.table.look_at(self.server, "bench")
        self.expected = self.table.checksum(self.server, "bench")
        if not self.expected[0]:
            raise SystemExit("there is nothing to compare")

    def race(self, contenders, prepare):
        """`contenders`: by name, its kind and its stages. Rounds in rotation, then the report."""
        contenders = {name: contender for name, contender in contenders.items()
                      if self.is_asked(name)}
        results = {name: [] for name in contenders}
        failures = {}
        first = 1 if self.arguments.cold else 0
        for lap in range(first, self.arguments.rounds + 1):
            names = list(contenders)
            names = names[lap % len(names):] + names[:lap % len(names)]
            for name in names:
                if name in failures:
                    continue
                prepare()
                try:
                    figures = measure(self.server, contenders[name][1], self.log)
                    has = self.table.checksum(self.server, "bench")
                    if has != self.expected:
                        raise Failed(f"it has {has}, not {self.expected}")
                except (Failed, Exception) as failure:  # noqa: BLE001 - a contender that is out
                    failures[name] = str(failure).replace("\n", " ")[:300]
                    print(f"{name}: {failures[name]}", flush=True)
                    continue
                print(f"round {lap} {name}: {figures.wall:.2f} s", flush=True)
                if lap:
                    results[name].append(figures)
        counted = {}
        for name, all_figures in results.items():
            if all_figures and name not in failures:
                kind = contenders[name][0]
                # A peer's best against our median: what noise there is, is theirs to gain.
                one = Figures.median(all_figures)
                if kind != "lakeferry":
                    one = min(all_figures, key=lambda figures: figures.wall)
                counted[name] = (kind, one, len(all_figures))
        report.write(pathlib.Path(self.arguments.results), self.name, self.head(), counted,
                     failures)
        ours = [name for name, (kind, *_) in contenders.items() if kind == "lakeferry"]
        return all(name in counted for name in ours)

    def is_asked(self, name):
        """Whether this contender takes part."""
        return not self.arguments.only or name in self.arguments.only

    def head(self):
        warm = "no warm-up" if self.arguments.cold else "a warm-up before"
        return [f"{self.expected[0]} rows, scale {self.arguments.scale:g}; commit "
                f"{self.arguments.commit}, {self.arguments.profile} profile; "
                f"{machine(self.server)}. Best of the floor's and the peers' rounds, Lakeferry's "
                f"median; {warm}; all hold the same rows."]


def machine(server):
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(": ")[1].strip() for line in lines if "model name" in line), "")
    return (f"Postgres {server.version()} on the same machine: {os.cpu_count()} cores ({model}), "
            f"{platform.system()} {platform.release()}")


def backfill(arguments):
    data = arguments.data
    bench = Bench(f"backfill-{data}", arguments, data)
    try:
        table = bench.table
        bench.server.create("bench")
        subprocess.run(bench.lakeferry(bench.delta), check=True, stdout=subprocess.DEVNULL)
        bench.settle()
        halves = bench.work / "floor"
        halves.mkdir(exist_ok=True)
        ctids = bench.server.sql(
            f"SELECT (max(ctid)::text::point)[0]::bigint / 2 FROM {table.name}", "bench")[0][0]
        whole, first, second = (halves / name for name in ("all.bin", "first.bin", "second.bin"))
        files = []
        if bench.is_asked("Postgres, 1 stream"):
            files += [(whole, "true")]
        if bench.is_asked("Postgres, 2 streams"):
            files += [(first, f"ctid < '({ctids},0)'"), (second, f"ctid >= '({ctids},0)'")]
        for path, where in files:
            copy = f"\\copy (SELECT * FROM {table.name} WHERE {where}) TO '{path}' (FORMAT binary)"
            subprocess.run(bench.psql(copy), check=True)
        create = bench.psql(f"CREATE TABLE {table.name} ({table.definition()})")
        key = bench.psql(f"ALTER TABLE {table.name} ADD PRIMARY KEY ({table.key_sql()})")

        def load(path):
            return bench.psql(f"\\copy {table.name} FROM '{path}' (FORMAT binary)")

        contenders = {
            "Postgres, 1 stream": ("floor", [[create], [load(whole)], [key]]),
            "Postgres, 2 streams": ("floor", [[create], [load(first), load(second)], [key]]),
            "Lakeferry": ("lakeferry", [[bench.lakeferry(bench.delta)]]),
            "DuckDB": ("peer", [[bench.peer("duckdb_copy.py")]]),
            "deltalake + ADBC": ("peer", [[bench.peer("deltalake_adbc.py")]]),
            "polars + ADBC": ("peer", [[bench.peer("polars_adbc.py")]]),
            "Sling": ("peer", [[bench.peer("sling_load.py")]]),
            "dlt": ("peer", [[bench.peer("dlt_load.py")]]),
        }
        done = bench.race(contenders, lambda: bench.server.create("bench"))
        subprocess.run(["rm", "-rf", halves], check=True)
        return done
    finally:
        bench.server.stop()


def increment(arguments):
    bench = Bench("increment", arguments, "changed")
    try:
        table, server = bench.table, bench.server
        log = sorted((bench.delta / "_delta_log").glob("*.json"))
        before = len(log) + CHANGES_BEGIN - 1
        # The table as it was: its log without the commits that change it.
        earlier = bench.work / "earlier"
        subprocess.run(["rm", "-rf", earlier], check=True)
        subprocess.run(["cp", "-al", bench.delta, earlier], check=True)
        later = earlier / "_delta_log"
        held = [later / path.name for path in log[before + 1:]]
        for path in held:
            path.unlink()
        server.create("bench")
        subprocess.run(bench.lakeferry(earlier), check=True, stdout=subprocess.DEVNULL)
        server.create("base", template="bench")
        for path in held:
            os.link(bench.delta / "_delta_log" / path.name, path)
        subprocess.run(bench.lakeferry(earlier), check=True, stdout=subprocess.DEVNULL)
        bench.settle()
        staged = bench.work / "staged.bin"
        bench.delta = earlier
        key = table.key_sql()
        subprocess.run(bench.psql(*staging(bench, staged)), check=True)
        columns = ", ".join(f'"{name}"' for name, _ in table.columns)
        on_key = " AND ".join(f"t.{name} = s.{name}" for name in table.key)
        sets = ", ".join(f'"{name}" = excluded."{name}"' for name, _ in table.columns
                         if name not in table.key)
        merge = bench.psql(
            f"CREATE TEMP TABLE staged ({table.definition()}, gone boolean)",
            f"\\copy staged FROM '{staged}' (FORMAT binary)",
            "ANALYZE staged",
            f"BEGIN; DELETE FROM {table.name} t USING staged s WHERE {on_key} AND s.gone; "
            f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM staged WHERE NOT gone "
            f"ON CONFLICT ({key}) DO UPDATE SET {sets}; COMMIT")
        contenders = {
            "Postgres, staging file": ("floor", [[merge]]),
            "Lakeferry": ("lakeferry", [[bench.lakeferry(earlier)]]),
            "deltalake + ADBC + SQL": ("peer", [[bench.peer("cdf_sql.py", before + 1)]]),
            "deltalake + DuckDB + ADBC": ("peer", [[bench.peer("cdf_adbc.py", before + 1)]]),
        }
        return bench.race(contenders, lambda: server.create("bench", template="base"))
    finally:
        bench.server.stop()


def staging(bench, path):
    """Statements that write the changes, by key, as a file: from the rows after and before them,
    the latter by way of a link to their database."""
    table = bench.table
    key = table.key_sql()
    columns = ", ".join(f'"{name}" {of}' for name, of in table.columns)
    names = ", ".join(f'"{name}"' for name, _ in table.columns)
    server = bench.server
    return [
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER base FOREIGN DATA WRAPPER postgres_fdw "
        f"OPTIONS (host '{server.folder}', port '{server.port}', dbname 'base', fetch_size '50000')",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER base OPTIONS (user 'bench')",
        f"CREATE FOREIGN TABLE before ({columns}) SERVER base "
        f"OPTIONS (schema_name 'public', table_name '{table.name}')",
        "CREATE TEMP TABLE was AS SELECT * FROM before",
        f"CREATE TEMP TABLE changes AS "
        f"(SELECT *, false AS gone FROM (TABLE {table.name} EXCEPT TABLE was) AS come) UNION ALL "
        f"(SELECT *, true FROM was WHERE NOT EXISTS "
        f"(SELECT FROM {table.name} t WHERE ({key_of('t', table)}) = ({key_of('was', table)})))",
        f"\\copy (SELECT {names}, gone FROM changes ORDER BY {key}) TO '{path}' (FORMAT binary)",
        "DROP EXTENSION postgres_fdw CASCADE",
    ]


def key_of(alias, table):
    return ", ".join(f"{alias}.{name}" for name in table.key)


def promise(arguments):
    """A benchmark of what is promised, without a contender."""
    work = pathlib.Path(arguments.work) / arguments.name
    subprocess.run(["rm", "-rf", work], check=True)
    work.mkdir(parents=True)
    pathlib.Path(arguments.results).mkdir(parents=True, exist_ok=True)
    server = Server(arguments.postgres)
    promises = Promises(arguments.name, [f"Commit {arguments.commit}, {arguments.profile} profile; "
                                         f"{machine(server)}."])
    try:
        importlib.import_module(arguments.name).run(server, arguments, work, promises)
    finally:
        server.stop()
        subprocess.run(["rm", "-rf", work], check=True)
    # Figures of a development profile promise nothing.
    return promises.write(pathlib.Path(arguments.results)) or arguments.profile != "release"


RACES = {"backfill": backfill, "increment": increment}
PROMISES = ["latency", "idle", "unchanged", "growth", "behind"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*RACES, *PROMISES])
    parser.add_argument("--data", default="lineitem",
                        choices=["lineitem", "wide", "narrow", "text", "nested"])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="no round to warm up")
    parser.add_argument("--commits", type=int, default=2_000,
                        help="of `latency`; `behind` makes five times as many")
    parser.add_argument("--jobs", type=int, default=1_000, help="of `idle`")
    parser.add_argument("--seconds", type=int, default=600, help="that they are idle")
    parser.add_argument("--table-rows", type=int, default=1_000_000,
                        help="of `unchanged`, which writes a fifth of them again")
    parser.add_argument("--behind-bytes", type=int, default=2 * 10**9,
                        help="of text in the one commit of `behind`")
    parser.add_argument("--only", action="append", help="a contender; more than once for more")
    parser.add_argument("--lakeferry", required=True, help="the binary")
    parser.add_argument("--profile", required=True, help="what it was built with")
    parser.add_argument("--commit", required=True)
    parser.add_argument("--data-maker", required=True, help="the built example `data`")
    parser.add_argument("--postgres", help="the folder of the server's programs",
                        default=os.environ.get("LAKEFERRY_PG15_BIN", "/usr/lib/postgresql/15/bin"))
    parser.add_argument("--work", required=True, help="a folder for what is made and kept")
    parser.add_argument("--results", default=str(HERE / "results"))
    arguments = parser.parse_args()
    done = RACES.get(arguments.name, promise)(arguments)
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()
