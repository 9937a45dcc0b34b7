"""The table that a benchmark fills: its columns, its key, and what it holds."""

import dataclasses


@dataclasses.dataclass
class Table:
    name: str
    key: list
    # Pairs of a name and a type in Postgres, as a first fill by Lakeferry made them.
    columns: list = dataclasses.field(default_factory=list)

    def look_at(self, server, database):
        """Learns the columns."""
        self.columns = server.sql(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = '{self.name}'::regclass AND attnum > 0 AND NOT attisdropped "
            "ORDER BY attnum", database)

    def checksum(self, server, database):
        """Rows, and a sum over all of their values, each as its type here writes it, whatever it is
        there."""
        values = ", ".join(f'"{name}"::{of}' for name, of in self.columns)
        return server.sql(
            f"SELECT count(*), sum(hashtextextended(ROW({values})::text, 0)::numeric) "
            f"FROM {self.name}", database)[0]

    def key_sql(self):
        return ", ".join(self.key)

    def definition(self):
        return ", ".join(f'"{name}" {of}' + (" NOT NULL" if name in self.key else "")
                         for name, of in self.columns)
