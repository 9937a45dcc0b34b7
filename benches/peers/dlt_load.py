"""dlt: a resource of Arrow batches, loaded as CSV by COPY, which its manual calls the fastest.

    python dlt_load.py DELTA URL TABLE KEY
"""

import os
import sys
import tempfile

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt  # noqa: E402
import psycopg  # noqa: E402
from deltalake import DeltaTable  # noqa: E402

path, url, table, key = sys.argv[1:]


@dlt.resource(name=table, write_disposition="append")
def rows():
    yield from DeltaTable(path).to_pyarrow_dataset().scanner(batch_size=65_536).to_reader()


with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline("bench", pipelines_dir=folder, dataset_name="public",
                            destination=dlt.destinations.postgres(os.environ["BENCH_TCP_URL"]))
    pipeline.run(rows(), loader_file_format="csv")
with psycopg.connect(url) as connection:
    connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})")
