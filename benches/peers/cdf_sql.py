"""The script that most write for increments: deltalake's change data feed, by ADBC into a staging
table, and SQL for the rest.

    python cdf_sql.py DELTA URL TABLE KEY FROM_VERSION
"""

import sys

import adbc_driver_postgresql.dbapi as adbc
from deltalake import DeltaTable

path, url, table, key, first = sys.argv[1:]
changes = DeltaTable(path).load_cdf(starting_version=int(first))
columns = [name for name in DeltaTable(path).schema().to_arrow().names]
listed = ", ".join(columns)
keys = [name.strip() for name in key.split(",")]
on_key = " AND ".join(f"t.{name} = s.{name}" for name in keys)
sets = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
with adbc.connect(url) as connection, connection.cursor() as cursor:
    cursor.adbc_ingest("staging", changes, mode="create", temporary=True)
    cursor.execute(f"CREATE TEMP TABLE net AS SELECT DISTINCT ON ({key}) * FROM staging "
                   f"WHERE _change_type <> 'update_preimage' "
                   f"ORDER BY {key}, _commit_version DESC, _change_type = 'delete'")
    cursor.execute("ANALYZE net")
    cursor.execute(f"DELETE FROM {table} t USING net s "
                   f"WHERE {on_key} AND s._change_type = 'delete'")
    cursor.execute(f"INSERT INTO {table} ({listed}) SELECT {listed} FROM net "
                   f"WHERE _change_type <> 'delete' ON CONFLICT ({key}) DO UPDATE SET {sets}")
    connection.commit()
