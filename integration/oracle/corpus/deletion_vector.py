"""Deletion vectors (Delta protocol, "Deletion Vector Format"): 64-bit roaring bitmaps in the
portable layout, inline, in a file beside the table or at an absolute path."""

import os
import struct
import urllib.parse
import uuid

Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
MAGIC = 1681511377
NO_RUNS, WITH_RUNS = 12346, 12347
OFFSETS_FROM = 4
ARRAY_MOST = 4096


def z85(text):
    words = []
    for start in range(0, len(text), 5):
        value = 0
        for letter in text[start:start + 5]:
            value = value * 85 + Z85.index(letter)
        words.append(value.to_bytes(4, "big"))
    return b"".join(words)


def path(vector, root):
    """Where the vector lies; nothing if it is inline or absent."""
    if not vector or vector["storageType"] == "i":
        return None
    where = vector["pathOrInlineDv"]
    if vector["storageType"] == "p":
        return urllib.parse.unquote(urllib.parse.urlparse(where).path)
    prefix, name = where[:-20], uuid.UUID(bytes=z85(where[-20:]))
    return os.path.join(root, prefix, f"deletion_vector_{name}.bin")


def places(vector, root):
    if not vector:
        return set()
    if vector["storageType"] == "i":
        bitmap = z85(vector["pathOrInlineDv"])[:vector["sizeInBytes"]]
    else:
        with open(path(vector, root), "rb") as file:
            file.seek(vector.get("offset") or 0)
            (size,) = struct.unpack(">i", file.read(4))
            bitmap = file.read(size)
    found = roaring_array(bitmap)
    if len(found) != vector["cardinality"]:
        raise ValueError(f"a deletion vector of {vector['cardinality']} rows has {len(found)}")
    return found


def roaring_array(data):
    magic, count = struct.unpack_from("<iq", data)
    if magic != MAGIC:
        raise ValueError(f"a deletion vector starts with {magic}")
    found, at = set(), 12
    for _ in range(count):
        (high,) = struct.unpack_from("<i", data, at)
        low, at = roaring(data, at + 4)
        found.update(high << 32 | value for value in low)
    return found


def roaring(data, at):
    """A 32-bit bitmap, and where it ends."""
    (cookie,) = struct.unpack_from("<I", data, at)
    if cookie & 0xFFFF == WITH_RUNS:
        count, at = (cookie >> 16) + 1, at + 4
        flags = data[at:at + (count + 7) // 8]
        at += len(flags)
    elif cookie == NO_RUNS:
        (count,) = struct.unpack_from("<I", data, at + 4)
        flags, at = bytes((count + 7) // 8), at + 8
    else:
        raise ValueError(f"a bitmap starts with {cookie}")
    keys = [struct.unpack_from("<HH", data, at + 4 * place) for place in range(count)]
    at += 4 * count
    if cookie == NO_RUNS or count >= OFFSETS_FROM:
        at += 4 * count
    found = []
    for place, (key, cardinality) in enumerate(keys):
        is_run = flags[place // 8] >> place % 8 & 1
        values, at = container(data, at, is_run, cardinality + 1)
        found.extend(key << 16 | value for value in values)
    return found, at


def container(data, at, is_run, cardinality):
    if is_run:
        (count,) = struct.unpack_from("<H", data, at)
        runs = struct.unpack_from(f"<{2 * count}H", data, at + 2)
        pairs = zip(runs[::2], runs[1::2])
        return [start + step for start, length in pairs for step in range(length + 1)], at + 2 + 4 * count
    if cardinality <= ARRAY_MOST:
        return struct.unpack_from(f"<{cardinality}H", data, at), at + 2 * cardinality
    bits = int.from_bytes(data[at:at + 8192], "little")
    return [value for value in range(1 << 16) if bits >> value & 1], at + 8192
