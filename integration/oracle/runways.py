"""What a target of the runways must hold, computed from the history and from nothing else.

Shares no code with the product: it reads the parquet with pyarrow, replays it with a dictionary,
and filters in pyarrow's three-valued logic (`closed = 0 AND length_ft > 3000`, NULL is not TRUE).

    python runways.py runways_history.parquet < requests > answers

A request is one line of JSON, an answer too. A payload of `bytes` bytes of CSV (without header;
NULL is nothing, an empty text is `""`) follows its line. A version is `seq` of the history, with
`shift` added to every id; `after: null` is the empty table.

| request                                              | answer                                    |
|------------------------------------------------------|-------------------------------------------|
| {"ask": "table"}                                     | columns for CREATE TABLE                  |
| {"ask": "compare", "seq", "shift", "filter", "bytes"} + rows ordered by id | equal, rows, first differences |
| {"ask": "step", "after": {"seq", "shift"}, "through": {…}, "filter"}       | ids that go, rows, bytes + rows that come |
"""

import functools
import io
import json
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as parquet

NOT_DATA = ["seq", "committed_at", "op"]
POSTGRES = {pa.int64(): "bigint", pa.string(): "text", pa.float64(): "double precision"}
DIFFERENCES_SHOWN = 5


class History:
    """The history, and which of its rows are the table at one seq. Each change carries the whole
    row, so a row of the table is known by its place in the history."""

    def __init__(self, path):
        changes = parquet.read_table(path).combine_chunks()
        self.seqs = changes["seq"].to_pylist()
        self.ops = changes["op"].to_pylist()
        self.ids = changes["id"].to_pylist()
        self.rows = changes.drop_columns(NOT_DATA)
        passes = pc.and_kleene(
            pc.equal(changes["closed"], 0), pc.greater(changes["length_ft"], 3000)
        )
        self.passes = pc.fill_null(passes, False).to_pylist()
        self.last_seq = self.seqs[-1]
        self.seq, self.next, self.table = -1, 0, {}

    @functools.lru_cache(maxsize=4)
    def places(self, seq, filtered):
        """Places of the rows of the table at `seq`, ordered by id."""
        if not 0 <= seq <= self.last_seq:
            raise ValueError(f"the history has no seq {seq}")
        if seq < self.seq:
            self.seq, self.next, self.table = -1, 0, {}
        while self.next < len(self.seqs) and self.seqs[self.next] <= seq:
            self.replay(self.next)
            self.next += 1
        self.seq = seq
        places = [self.table[id] for id in sorted(self.table)]
        return [place for place in places if self.passes[place]] if filtered else places

    def replay(self, place):
        id, op = self.ids[place], self.ops[place]
        if (op == "insert") == (id in self.table):
            raise ValueError(f"the history's {op} of id {id} does not fit its past")
        if op == "delete":
            del self.table[id]
        else:
            self.table[id] = place

    def take(self, places, shift):
        """The rows at `places`, `shift` added to their ids."""
        rows = self.rows.take(pa.array(places, pa.int64()))
        at = rows.schema.get_field_index("id")
        return rows.set_column(at, "id", pc.add(rows["id"], shift)).combine_chunks()


def table(history, _request):
    columns = [[field.name, POSTGRES[field.type]] for field in history.rows.schema]
    return {"columns": columns}, b""


def compare(history, request):
    dump = sys.stdin.buffer.read(request["bytes"])
    expected = history.take(history.places(request["seq"], request["filter"]), request["shift"])
    found = from_csv(dump, expected.schema)
    equal = exact(found).equals(exact(expected))
    answer = {"equal": equal, "rows": expected.num_rows}
    if not equal:
        answer["differences"] = differences(expected, found)
    return answer, b""


def step(history, request):
    after, through = request["after"], request["through"]
    had = set(history.places(after["seq"], request["filter"])) if after else set()
    has = set(history.places(through["seq"], request["filter"]))
    if after and after["shift"] != through["shift"]:
        gone, come = had, has
    else:
        gone, come = had - has, has - had
    rows = to_csv(history.take(sorted(come), through["shift"]))
    ids = [history.ids[place] + after["shift"] for place in gone]
    return {"gone": ids, "rows": len(come), "bytes": len(rows)}, rows


def from_csv(dump, schema):
    """Rows as Postgres dumps them. Its float8 output is exact, and so is this parser."""
    if not dump:
        return schema.empty_table()
    return csv.read_csv(
        io.BytesIO(dump),
        csv.ReadOptions(column_names=schema.names, use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ).combine_chunks()


def to_csv(rows):
    out = io.BytesIO()
    csv.write_csv(rows, out, csv.WriteOptions(include_header=False))
    return out.getvalue()


def exact(rows):
    """Floats as their bits, so that equal means the same value: −0.0 is not 0.0, NaN is NaN."""
    columns = [
        column.chunk(0).view(pa.int64()) if column.num_chunks and pa.types.is_float64(column.type)
        else column
        for column in rows.columns
    ]
    return pa.table(columns, names=rows.column_names)


def differences(expected, found):
    """The first differences, each in words."""
    wanted = {row["id"]: row for row in expected.to_pylist()}
    had = [row["id"] for row in found.to_pylist()]
    words = []
    if len(set(had)) < len(had):
        words.append(f"{len(had) - len(set(had))} ids come more than once")
    got = {row["id"]: row for row in found.to_pylist()}
    for id in sorted(wanted.keys() | got.keys()):
        if id not in got:
            words.append(f"id {id} is missing")
        elif id not in wanted:
            words.append(f"id {id} is too many")
        else:
            words.extend(
                f"id {id}: {name} is {got[id][name]!r}, not {value!r}"
                for name, value in wanted[id].items()
                if repr(got[id][name]) != repr(value)
            )
        if len(words) >= DIFFERENCES_SHOWN:
            break
    return words[:DIFFERENCES_SHOWN] or ["the rows are not ordered by id"]


ASKS = {"table": table, "compare": compare, "step": step}


def main():
    history = History(sys.argv[1])
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer, payload = ASKS[request["ask"]](history, request)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + payload)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
