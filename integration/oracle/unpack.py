"""Unpacks an archive of the corpora, which needs no zstd of the system.

    python unpack.py dev.tar.zst FOLDER
"""

import sys
import tarfile

import pyarrow as pa

archive, folder = sys.argv[1:]
with pa.input_stream(archive, compression="zstd") as stream:
    with tarfile.open(fileobj=stream, mode="r|") as tables:
        tables.extractall(folder, filter="data")
