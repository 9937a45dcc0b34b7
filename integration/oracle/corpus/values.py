"""Values of Parquet files as canonical Python values: equal if and only if they are the same value
of the table's type.

| type | canonical |
|---|---|
| integers | int |
| float, double | its bits, any NaN as one |
| decimal | int, scaled as the table's type |
| date, timestamps | int: days, microseconds since 1970 |
| binary | bytes |
| struct | tuple of its fields in the table's order |
| array | tuple |
| map | tuple of pairs, ordered where the keys are strings |
| variant | what `variant` makes of it |
"""

import datetime
import decimal
import re
import struct

import pyarrow as pa

import variant

decimal.getcontext().prec = 76
FLOATS = ("float", "double")
MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1}
DAY_MICROS = 86_400_000_000
TIMESTAMPS = ("timestamp", "timestamp_ntz")


def scale_of(kind):
    return int(re.fullmatch(r"decimal\(\d+,\s*(\d+)\)", kind)[1])


def bits(value, code):
    return "NaN" if value != value else struct.pack(code, value)


def metadata(field, name):
    return (field.get("metadata") or {}).get(name)


def physical_name(field, mapping):
    return field["name"] if mapping == "none" else metadata(field, "delta.columnMapping.physicalName")


def place(stored, field, mapping):
    """Where `field` is among the fields of an Arrow schema or struct."""
    for place, other in enumerate(stored):
        if mapping == "id":
            found = (other.metadata or {}).get(b"PARQUET:field_id")
            if found is not None and int(found) == metadata(field, "delta.columnMapping.id"):
                return place
        elif other.name == physical_name(field, mapping):
            return place
    return None


def of(array, kind, mapping):
    """The values of an Arrow array as those of a Delta type."""
    if isinstance(kind, dict):
        return NESTED[kind["type"]](array, kind, mapping)
    if kind == "variant":
        return variant.of(array)
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    convert = scalar(array.type, kind)
    return [None if value is None else convert(value) for value in plain(array)]


def plain(array):
    """Python values; times as integers, for Python knows the years 1 to 9999 only."""
    if pa.types.is_date32(array.type):
        array = array.cast(pa.int32())
    elif pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    return array.to_pylist()


def scalar(stored, kind):
    """What makes a value of `kind` of one that is stored as another type, perhaps a narrower one."""
    if kind in TIMESTAMPS:
        if pa.types.is_date32(stored):
            return lambda days: days * DAY_MICROS
        if stored.unit == "ns":
            return lambda nanos: nanos // 1_000
        return lambda ticks: ticks * MICROS[stored.unit]
    if kind in FLOATS:
        code = "<f" if kind == "float" else "<d"
        return lambda value: bits(float(value), code)
    if kind.startswith("decimal"):
        return lambda value: int(decimal.Decimal(value).scaleb(scale_of(kind)))
    return lambda value: value


def inside(found, kind):
    """A part of another value, as jsonb can tell it: without −0.0, and a variant's null is null."""
    if kind in FLOATS and found is not None and found != "NaN" and not any(found[:-1]) and found[-1] == 128:
        return bytes(len(found))
    return variant.NULL if kind == "variant" and found is None else found


def parts_of(array, kind, mapping):
    found = of(array, kind, mapping)
    return [inside(value, kind) for value in found] if kind in FLOATS or kind == "variant" else found


def structs(array, kind, mapping):
    parts = array.flatten()
    stored = [array.type.field(place) for place in range(array.type.num_fields)]
    columns = []
    for field in kind["fields"]:
        found = place(stored, field, mapping)
        absent = [None] * len(array)
        columns.append(absent if found is None else parts_of(parts[found], field["type"], mapping))
    rows = zip(*columns) if columns else [()] * len(array)
    return [row if valid else None for row, valid in zip(rows, array.is_valid().to_pylist())]


def spans(array, entries):
    offsets, valid = array.offsets.to_pylist(), array.is_valid().to_pylist()
    pairs = zip(offsets, offsets[1:], valid)
    return [tuple(entries[start:end]) if there else None for start, end, there in pairs]


def arrays(array, kind, mapping):
    return spans(array, parts_of(array.values, kind["elementType"], mapping))


def maps(array, kind, mapping):
    keys = parts_of(array.keys, kind["keyType"], mapping)
    found = parts_of(array.items, kind["valueType"], mapping)
    rows = spans(array, list(zip(keys, found)))
    return [row and in_order(row, kind) for row in rows]


def in_order(entries, kind):
    return tuple(sorted(entries, key=repr)) if kind["keyType"] == "string" else tuple(entries)


NESTED = {"struct": structs, "array": arrays, "map": maps}


def of_partition(text, kind):
    """Delta protocol, "Partition Value Serialization"."""
    if text is None or text == "":
        return None
    if kind in ("byte", "short", "integer", "long"):
        return int(text)
    if kind in FLOATS:
        return bits(float(text), "<f" if kind == "float" else "<d")
    if kind == "boolean":
        return {"true": True, "false": False}[text.lower()]
    if kind == "binary":
        return text.encode()
    if kind == "date":
        return days(text)
    if kind in TIMESTAMPS:
        return micros(text)
    if kind.startswith("decimal"):
        return int(decimal.Decimal(text).scaleb(scale_of(kind)))
    return text


DATE = re.compile(r"^([+-]?\d{4,})-(\d\d)-(\d\d)( BC)?$")
MOMENT = re.compile(r"^(\S+?)[ T](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|\+00(?::00)?)?( BC)?$")
# The Gregorian calendar repeats.
CYCLE_YEARS, CYCLE_DAYS = 400, 146_097


def days(text):
    """Days since 1970 of a date as Postgres, JSON or a partition writes it."""
    year, month, day, before = DATE.match(text).groups()
    year = 1 - int(year) if before else int(year)
    cycles = (year - 2000) // CYCLE_YEARS
    date = datetime.date(year - cycles * CYCLE_YEARS, int(month), int(day))
    return (date - datetime.date(1970, 1, 1)).days + cycles * CYCLE_DAYS


def micros(text):
    """Microseconds since 1970, in UTC where the text names no zone."""
    if DATE.match(text):
        return days(text) * DAY_MICROS
    date, hours, minutes, seconds, fraction, _, before = MOMENT.match(text).groups()
    since_midnight = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    part = int((fraction or ".0")[1:].ljust(6, "0")[:6])
    return days(date + (before or "")) * DAY_MICROS + since_midnight * 1_000_000 + part
