"""DuckDB: delta_scan into an attached Postgres by binary COPY.

    python duckdb_copy.py DELTA URL TABLE KEY
"""

import pathlib
import sys

import duckdb
import duckdb_extension_delta
import duckdb_extension_postgres_scanner

path, url, table, key = sys.argv[1:]
connection = duckdb.connect()
for package, name in [(duckdb_extension_delta, "delta"),
                      (duckdb_extension_postgres_scanner, "postgres_scanner")]:
    folder = pathlib.Path(package.__file__).parent / "extensions"
    connection.execute(f"LOAD '{next(folder.glob(f'*/{name}.duckdb_extension'))}'")
connection.execute(f"ATTACH '{url}' AS target (TYPE postgres)")
# Its defaults: binary COPY, all threads. The order of rows costs it memory and time.
connection.execute("SET preserve_insertion_order = false")
connection.execute(f"CREATE TABLE target.public.{table} AS SELECT * FROM delta_scan('{path}')")
connection.execute(f"CALL postgres_execute('target', 'ALTER TABLE {table} ADD PRIMARY KEY ({key})')")
