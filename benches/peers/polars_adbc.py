"""polars: scan_delta, then write_database through ADBC.

    python polars_adbc.py DELTA URL TABLE KEY
"""

import sys

import adbc_driver_postgresql.dbapi as adbc
import polars

path, url, table, key = sys.argv[1:]
frame = polars.scan_delta(path).collect()
with adbc.connect(url) as connection:
    frame.write_database(table, connection, engine="adbc", if_table_exists="fail")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})")
    connection.commit()
