"""What a careful engineer writes for increments: deltalake's change data feed, the last change of
each key by DuckDB, ADBC into a staging table, and the SQL of the floor.

    python cdf_adbc.py DELTA URL TABLE KEY FROM_VERSION
"""

import sys

import adbc_driver_postgresql.dbapi as adbc
import duckdb
from deltalake import DeltaTable

path, url, table, key, first = sys.argv[1:]
changes = DeltaTable(path).load_cdf(starting_version=int(first)).read_all()
last = duckdb.sql(f"""
    SELECT * EXCLUDE (_commit_version, _commit_timestamp)
    FROM changes WHERE _change_type <> 'update_preimage'
    QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY _commit_version DESC,
                               _change_type = 'delete') = 1
    ORDER BY {key}""").arrow()
columns = [name for name in DeltaTable(path).schema().to_arrow().names]
listed = ", ".join(columns)
keys = [name.strip() for name in key.split(",")]
on_key = " AND ".join(f"t.{name} = s.{name}" for name in keys)
sets = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
with adbc.connect(url) as connection, connection.cursor() as cursor:
    cursor.adbc_ingest("staging", last, mode="create", temporary=True)
    cursor.execute("ANALYZE staging")
    cursor.execute(f"DELETE FROM {table} t USING staging s "
                   f"WHERE {on_key} AND s._change_type = 'delete'")
    cursor.execute(f"INSERT INTO {table} ({listed}) SELECT {listed} FROM staging "
                   f"WHERE _change_type <> 'delete' ON CONFLICT ({key}) DO UPDATE SET {sets}")
    connection.commit()
