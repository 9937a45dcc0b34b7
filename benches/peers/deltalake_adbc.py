"""deltalake and ADBC: record batches, ingested by COPY.

    python deltalake_adbc.py DELTA URL TABLE KEY
"""

import sys

import adbc_driver_postgresql.dbapi as adbc
from deltalake import DeltaTable

path, url, table, key = sys.argv[1:]
batches = DeltaTable(path).to_pyarrow_dataset().scanner(batch_size=65_536).to_reader()
with adbc.connect(url) as connection, connection.cursor() as cursor:
    cursor.adbc_ingest(table, batches, mode="create")
    cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})")
    connection.commit()
