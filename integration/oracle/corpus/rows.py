"""The rows of a version as canonical values (see `values`), in the columns that are synced."""

import itertools

import pyarrow as pa
import pyarrow.parquet as parquet

import values

KEY_TYPES = {"byte", "short", "integer", "long", "string", "date", "timestamp", "timestamp_ntz", "boolean"}
# Of btree: a third of a page.
KEY_TEXT_MOST = 500
KEY_COLUMNS_MOST = 3
KEY_COLUMNS_TRIED = 8


def of(snapshot):
    """The synced fields and the rows."""
    fields = [field for field in snapshot.fields() if field["type"] != "void"]
    partitions = set(snapshot.metadata["partitionColumns"])
    rows = []
    for add in snapshot.files.values():
        rows += of_file(snapshot, add, fields, partitions)
    return fields, rows


def zoneless(snapshot):
    """Partition columns whose instants stand in the log without a time zone. They are taken as UTC."""
    instants = [field for field in snapshot.fields() if field["type"] == "timestamp"]
    names = {field["name"]: values.physical_name(field, snapshot.mapping()) for field in instants}
    partitions = [add["partitionValues"] for add in snapshot.files.values()]
    return {
        name for name, physical in names.items()
        if any((found.get(physical) or "Z")[-1] != "Z" for found in partitions)
    }


def of_file(snapshot, add, fields, partitions):
    table, mapping = read(snapshot.path(add)), snapshot.mapping()
    columns = []
    for field in fields:
        if field["name"] in partitions:
            text = add["partitionValues"].get(values.physical_name(field, mapping))
            columns.append([values.of_partition(text, field["type"])] * table.num_rows)
        else:
            columns.append(column(table, field, mapping))
    deleted = snapshot.deletions(add)
    return [row for place, row in enumerate(zip(*columns)) if place not in deleted]


def of_plain_file(path, fields):
    """The rows of a Parquet file whose columns have the table's names."""
    table = read(path)
    return list(zip(*[column(table, field, "none") for field in fields]))


def read(path):
    return parquet.ParquetFile(path, coerce_int96_timestamp_unit="us").read()


def column(table, field, mapping):
    place = values.place(table.schema, field, mapping)
    if place is None:
        return [None] * table.num_rows
    chunks = table.column(place).chunks
    return [value for chunk in chunks for value in values.of(chunk, field["type"], mapping)]


def key(fields, rows):
    """Names of the fewest columns without nulls that no two rows agree in; nothing if there are none."""
    return key_of_all([(fields, rows)])


def key_of_all(tables):
    """As [`key`], of several tables with the same columns."""
    fields = tables[0][0] if tables else []
    fitting = [place for place, field in enumerate(fields) if can_be_key(place, field, tables)]
    for many in range(1, KEY_COLUMNS_MOST + 1):
        for chosen in itertools.combinations(fitting[:KEY_COLUMNS_TRIED], many):
            if all(len({tuple(row[place] for place in chosen) for row in rows}) == len(rows) for _, rows in tables):
                return [fields[place]["name"] for place in chosen]
    return None


def can_be_key(place, field, tables):
    kind = field["type"]
    is_scalar = isinstance(kind, str) and (kind in KEY_TYPES or kind.startswith("decimal"))
    return is_scalar and all(fits_key(row[place]) for _, rows in tables for row in rows)


def fits_key(value):
    return value is not None and not (isinstance(value, str) and len(value) > KEY_TEXT_MOST)
