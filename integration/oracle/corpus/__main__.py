"""What a version of a Delta table holds, and whether a dump of a Postgres table holds the same.

Shares no code with the product or with the libraries it reads by: the log is replayed here, Parquet
is read by pyarrow.

    python corpus < requests > answers

A request is one line of JSON, an answer too; a payload of `bytes` bytes follows its line: the rows
of the target, each a line with the JSON array of its columns as text.

| request                                        | answer                                           |
|------------------------------------------------|--------------------------------------------------|
| {"ask": "read", "table", "version": or null for the newest, "expected": path or null} | rows, key (or null), columns with their types; or missing files; or error |
| {"ask": "stops", "table"}                      | versions, ascending, and a key of all of them (or null) |
| {"ask": "compare", "bytes"} + rows             | differences: none where the rows are those of the table that was read last |
"""

import collections
import glob
import json
import os
import sys

import log
import postgres
import rows

DIFFERENCES_SHOWN = 3


class Corpus:
    def __init__(self):
        self.fields, self.rows = [], []

    def read(self, request):
        self.fields, self.rows = [], []
        try:
            snapshot = log.at(request["table"], request["version"])
            missing = snapshot.missing()
            if missing:
                return {"missing": missing}
            self.fields, self.rows = rows.of(snapshot)
            if request["expected"]:
                self.check(request["expected"], rows.zoneless(snapshot))
            widens = snapshot.widens()
            columns = [
                [field["name"], postgres.type_of(field["type"], widens)] for field in self.fields
            ]
        except Exception as error:  # Whatever it is: this table has no answer.
            return {"error": f"{type(error).__name__}: {error}"}
        return {
            "rows": len(self.rows),
            "columns": columns,
            "key": rows.key(self.fields, self.rows),
        }

    def stops(self, request):
        try:
            versions = log.stops(request["table"])
            read = [rows.of(log.at(request["table"], version)) for version in versions]
        except Exception:  # That it cannot be read is told where it is read.
            return {"versions": [], "key": None}
        return {"versions": versions, "key": rows.key_of_all(read)}

    def check(self, folder, zoneless):
        """Another reader's answer that comes with the table must be ours, but for the columns that
        are `zoneless`: it read them in a time zone of its own."""
        files = sorted(glob.glob(os.path.join(glob.escape(folder), "**", "*.parquet"), recursive=True))
        expected = [row for file in files for row in rows.of_plain_file(file, self.fields)]
        told = [place for place, field in enumerate(self.fields) if field["name"] not in zoneless]
        found = differences(*[[tuple(row[place] for place in told) for row in rows] for rows in (self.rows, expected)])
        if found:
            raise ValueError(f"the oracle is not what is expected: {found}")

    def compare(self, request):
        lines = sys.stdin.buffer.read(request["bytes"]).splitlines()
        try:
            found = [postgres.row(json.loads(line), self.fields) for line in lines]
        except Exception as error:  # No value of the column's type.
            return {"differences": [f"{type(error).__name__}: {error}"]}
        return {"differences": differences(self.rows, found)}


def differences(expected, found):
    """The first rows that one of the two has more often than the other."""
    if collections.Counter(expected) == collections.Counter(found):
        return []
    expected, found = collections.Counter(expected), collections.Counter(found)
    lacking, surplus = expected - found, found - expected
    words = [f"{lacking.total()} rows lack and {surplus.total()} are too many"]
    words += [f"lacks {row!r:.400}" for row in list(lacking)[:DIFFERENCES_SHOWN]]
    words += [f"has {row!r:.400}" for row in list(surplus)[:DIFFERENCES_SHOWN]]
    return words


def main():
    corpus = Corpus()
    asks = {"read": corpus.read, "stops": corpus.stops, "compare": corpus.compare}
    for line in sys.stdin.buffer:
        request = json.loads(line)
        print(json.dumps(asks[request["ask"]](request)), flush=True)


if __name__ == "__main__":
    main()
