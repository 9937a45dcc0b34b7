"""What a benchmark of one promise found, held against what is promised."""

import json


class Promises:
    """Figures, some with a bound."""

    def __init__(self, name, head):
        self.name, self.head, self.rows = name, head, []

    def add(self, what, value, unit, at_most=None):
        self.rows.append((what, value, unit, at_most))

    def write(self, folder):
        """Prints them, keeps them as a table and as JSON; whether all bounds are kept."""
        lines = [f"# {self.name}", "", *self.head, "", "| | | promised |", "|---|---|---|"]
        for what, value, unit, at_most in self.rows:
            bound = "" if at_most is None else f"≤ {at_most:g} {unit}".rstrip()
            lines.append(f"| {what} | {value:.4g} {unit} | {bound} |".replace("  ", " "))
        text = "\n".join(lines) + "\n"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.md").write_text(text, encoding="utf-8")
        raw = [dict(zip(("what", "value", "unit", "at_most"), row)) for row in self.rows]
        (folder / f"{self.name}.json").write_text(json.dumps(raw, indent=1) + "\n",
                                                  encoding="utf-8")
        print(text)
        return all(at_most is None or value <= at_most for _, value, _, at_most in self.rows)
