"""Sling on the parquet files of the table (which have all its rows, for nothing was removed).

    python sling_load.py DELTA URL TABLE KEY
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import duckdb_extension_json
import duckdb_extension_parquet
import psycopg
import sling_linux_amd64

path, url, table, key = sys.argv[1:]
binary = pathlib.Path(sling_linux_amd64.__file__).parent / "bin" / "sling-linux-amd64"
# It reads parquet by DuckDB's program and its extensions, which it would else download.
home = pathlib.Path(tempfile.mkdtemp())
for package in (duckdb_extension_json, duckdb_extension_parquet):
    for found in pathlib.Path(package.__file__).parent.glob("extensions/*/*.duckdb_extension"):
        folder = home / ".duckdb" / "extensions" / found.parent.name / "linux_amd64"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / found.name).symlink_to(found)
environment = {**os.environ, "HOME": str(home), "SLING_DISABLE_TELEMETRY": "true",
               "DUCKDB_PATH": str(pathlib.Path(sys.executable).parent / "duckdb"),
               "TARGET": os.environ["BENCH_TCP_URL"] + "?sslmode=disable"}
subprocess.run([binary, "run", "--src-stream", f"file://{path}/*.parquet", "--tgt-conn", "TARGET",
                "--tgt-object", f"public.{table}", "--mode", "full-refresh"],
               check=True, env=environment)
with psycopg.connect(url) as connection:
    connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})")
shutil.rmtree(home, ignore_errors=True)
