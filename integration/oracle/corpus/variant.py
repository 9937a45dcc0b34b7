"""Variants (Parquet's "Variant Binary Encoding" and "Variant Shredding") as the value of JSON that
the product writes for them: numbers as numbers, times, dates and binaries as it writes them in any
other jsonb.

A value is canonical as a pair of what JSON calls it and its value, so that 1 is not TRUE.
"""

import base64
import datetime
import decimal
import struct
import uuid

import pyarrow as pa

NULL = ("null", None)
EPOCH = datetime.datetime(1970, 1, 1)
NUMBERS = {3: "<b", 4: "<h", 5: "<i", 6: "<q"}
DECIMALS = {8: 4, 9: 8, 10: 16}
MISSING = object()


def number(value):
    return "number", decimal.Decimal(value).normalize() + 0


def floating(value, shortest):
    if value != value or value in (float("inf"), float("-inf")):
        text = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
        return "string", text
    return number(shortest)


def single(value):
    """The shortest digits that read as this float of 32 bits."""
    packed = struct.pack("<f", value)
    digits = (f"{value:.{count}g}" for count in range(1, 10))
    return floating(value, next((text for text in digits if struct.pack("<f", float(text)) == packed), value))


def date(days):
    return "string", (EPOCH + datetime.timedelta(days=days)).date().isoformat()


def moment(micros, zone):
    at = EPOCH + datetime.timedelta(microseconds=micros)
    fraction = f".{at.microsecond:06}".rstrip("0") if at.microsecond else ""
    return "string", at.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone


def binary(data):
    return "string", base64.b64encode(data).decode()


def canonical(parsed):
    """Of a value of JSON, numbers as decimals."""
    if parsed is None:
        return NULL
    if isinstance(parsed, bool):
        return "boolean", parsed
    if isinstance(parsed, decimal.Decimal):
        return number(parsed)
    if isinstance(parsed, str):
        return "string", parsed
    if isinstance(parsed, list):
        return "array", tuple(canonical(element) for element in parsed)
    return made_object({name: canonical(value) for name, value in parsed.items()})


def made_object(members):
    return "object", tuple(sorted(members.items()))


def of(array):
    """The values of an Arrow array of a variant's storage; SQL's NULL is None."""
    rows = [None] * len(array)
    for place, row in enumerate(array):
        if row.is_valid:
            names = dictionary(row["metadata"].as_py())
            found = reassembled(row, names)
            rows[place] = NULL if found is MISSING else found
    return rows


def dictionary(data):
    size = (data[0] >> 6) + 1
    integers = lambda at, count: [
        int.from_bytes(data[at + size * place:at + size * (place + 1)], "little") for place in range(count)
    ]
    (count,) = integers(1, 1)
    offsets, start = integers(1 + size, count + 1), 1 + size * (count + 2)
    return [data[start + low:start + high].decode() for low, high in zip(offsets, offsets[1:])]


def reassembled(row, names):
    """The value of a group of `value` and `typed_value`."""
    fields = {field.name for field in row.type}
    rest = row["value"].as_py() if "value" in fields else None
    typed = row["typed_value"] if "typed_value" in fields else None
    if typed is None or not typed.is_valid:
        return MISSING if rest is None else value(rest, 0, names)
    if pa.types.is_struct(typed.type):
        members = {field.name: reassembled(typed[field.name], names) for field in typed.type}
        members = {name: member for name, member in members.items() if member is not MISSING}
        if rest is not None:
            kind, more = value(rest, 0, names)
            if kind != "object":
                raise ValueError("a shredded object beside another value")
            members.update(more)
        return made_object(members)
    if pa.types.is_list(typed.type) or pa.types.is_large_list(typed.type):
        elements = [reassembled(element, names) for element in typed.values]
        return "array", tuple(NULL if element is MISSING else element for element in elements)
    return scalar(typed)


def scalar(typed):
    kind = typed.type
    if pa.types.is_timestamp(kind):
        return moment(typed.cast(pa.int64()).as_py(), "Z" if kind.tz else "")
    if pa.types.is_date32(kind):
        return date(typed.cast(pa.int32()).as_py())
    found = typed.as_py()
    if pa.types.is_boolean(kind):
        return "boolean", found
    if pa.types.is_float32(kind):
        return single(found)
    if pa.types.is_float64(kind):
        return floating(found, repr(found))
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return number(found)
    return ("string", found) if isinstance(found, str) else binary(found)


def value(data, at, names):
    kind, header = data[at] & 3, data[at] >> 2
    if kind == 0:
        return primitive(data, at + 1, header)
    if kind == 1:
        return "string", data[at + 1:at + 1 + header].decode()
    width, is_large = (header & 3) + 1, header >> (4 if kind == 2 else 2) & 1
    read = lambda at, size: int.from_bytes(data[at:at + size], "little")
    count, at = (read(at + 1, 4), at + 5) if is_large else (data[at + 1], at + 2)
    labels = []
    if kind == 2:
        size = (header >> 2 & 3) + 1
        labels = [names[read(at + size * place, size)] for place in range(count)]
        at += size * count
    start = at + width * (count + 1)
    parts = [value(data, start + read(at + width * place, width), names) for place in range(count)]
    return made_object(dict(zip(labels, parts))) if kind == 2 else ("array", tuple(parts))


def primitive(data, at, kind):
    if kind == 0:
        return NULL
    if kind in (1, 2):
        return "boolean", kind == 1
    if kind in NUMBERS:
        return number(struct.unpack_from(NUMBERS[kind], data, at)[0])
    if kind == 7:
        (found,) = struct.unpack_from("<d", data, at)
        return floating(found, repr(found))
    if kind == 14:
        return single(struct.unpack_from("<f", data, at)[0])
    if kind in DECIMALS:
        unscaled = int.from_bytes(data[at + 1:at + 1 + DECIMALS[kind]], "little", signed=True)
        return number(decimal.Decimal(unscaled).scaleb(-data[at]))
    if kind == 11:
        return date(struct.unpack_from("<i", data, at)[0])
    if kind in (12, 13):
        return moment(struct.unpack_from("<q", data, at)[0], "Z" if kind == 12 else "")
    if kind in (15, 16):
        (size,) = struct.unpack_from("<I", data, at)
        found = data[at + 4:at + 4 + size]
        return binary(found) if kind == 15 else ("string", found.decode())
    if kind == 20:
        return "string", str(uuid.UUID(bytes=data[at:at + 16]))
    raise ValueError(f"a variant of the primitive type {kind}")
