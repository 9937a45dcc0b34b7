"""Values as Postgres gives them, as canonical values (see `values`); and the type that a column has
there."""

import base64
import decimal
import json

import values
import variant

SCALARS = {
    "byte": "smallint", "short": "smallint", "integer": "integer", "long": "bigint",
    "float": "real", "double": "double precision", "boolean": "boolean", "string": "text",
    "binary": "bytea", "date": "date", "timestamp": "timestamp with time zone",
    "timestamp_ntz": "timestamp without time zone",
}


def scalar_type(kind):
    return kind.replace("decimal", "numeric") if kind.startswith("decimal") else SCALARS[kind]


# Of a table whose types may get wider.
WIDEST = {"byte": "bigint", "short": "bigint", "integer": "bigint", "float": "double precision"}


def type_of(kind, widens=False):
    """As `format_type` names it."""
    if isinstance(kind, str) and kind != "variant":
        return widens and WIDEST.get(kind) or scalar_type(kind)
    is_array = isinstance(kind, dict) and kind["type"] == "array"
    if is_array and isinstance(kind["elementType"], str) and kind["elementType"] != "variant":
        return scalar_type(kind["elementType"]) + "[]"
    return "jsonb"


def row(texts, fields):
    """A row of columns as text: scalars as they print, all else as jsonb."""
    if len(texts) != len(fields):
        raise ValueError(f"{len(texts)} columns, not {len(fields)}")
    return tuple(column(text, field["type"]) for text, field in zip(texts, fields))


def column(text, kind):
    if text is None:
        return None
    if isinstance(kind, str) and kind != "variant":
        return scalar(text, kind, bytes_of_hex)
    parsed = json.loads(text, parse_float=decimal.Decimal, parse_int=decimal.Decimal)
    bytes_of = bytes_of_hex if type_of(kind).endswith("[]") else base64.b64decode
    return part(parsed, kind, bytes_of)


def bytes_of_hex(text):
    return bytes.fromhex(text.removeprefix("\\x"))


def scalar(value, kind, bytes_of):
    """A value that is text, or a number or truth value of JSON."""
    if kind in ("byte", "short", "integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return values.bits(float(value), "<f" if kind == "float" else "<d")
    if kind == "boolean":
        return value if isinstance(value, bool) else {"true": True, "false": False}[value]
    if kind == "binary":
        return bytes_of(value)
    if kind == "date":
        return values.days(value)
    if kind in values.TIMESTAMPS:
        return values.micros(value)
    if kind.startswith("decimal"):
        return int(decimal.Decimal(value).scaleb(values.scale_of(kind)))
    return value


def part(value, kind, bytes_of):
    """A value of JSON as one of `kind`."""
    if kind == "variant":
        return variant.canonical(value)
    if value is None:
        return None
    if isinstance(kind, str):
        return values.inside(scalar(value, kind, bytes_of), kind)
    if kind["type"] == "struct":
        names = [field["name"] for field in kind["fields"]]
        if set(value) != set(names):
            raise ValueError(f"an object has {sorted(value)}, not {sorted(names)}")
        return tuple(part(value[field["name"]], field["type"], bytes_of) for field in kind["fields"])
    if kind["type"] == "array":
        return tuple(part(element, kind["elementType"], bytes_of) for element in value)
    entries = value.items() if kind["keyType"] == "string" else value
    pairs = [
        (part(key, kind["keyType"], bytes_of), part(held, kind["valueType"], bytes_of))
        for key, held in entries
    ]
    return values.in_order(pairs, kind)
