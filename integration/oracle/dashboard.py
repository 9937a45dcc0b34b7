"""Says what of a Grafana dashboard Grafana would not understand: `python dashboard.py FILE`.

The dashboard is read into the types that Grafana generates from its own schemas, and written again. A
field that none of them knows is gone then. Prints the path of each, and ends with 1 if there is any.
"""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(written, understood, path=""):
    """The paths in `written` that are otherwise, or not at all, in `understood`."""
    if isinstance(written, dict) and isinstance(understood, dict):
        for name, value in written.items():
            # What is null may as well be absent.
            if name in understood or value is not None:
                yield from lost(value, understood.get(name), f"{path}.{name}")
    elif isinstance(written, list) and isinstance(understood, list) and len(written) == len(understood):
        for index, (one, other) in enumerate(zip(written, understood)):
            yield from lost(one, other, f"{path}[{index}]")
    elif written != understood:
        yield path


def main(file):
    with open(file, encoding="utf-8") as text:
        written = json.load(text)
    plugins.register_default_plugins()
    dashboard = Dashboard.from_json(json.loads(json.dumps(written)))
    problems = list(lost(written, json.loads(JSONEncoder(sort_keys=True).encode(dashboard))))
    # Of a kind of panel that it does not know, anything is understood.
    problems += [f"a panel of type {panel.type_val}" for panel in dashboard.panels if isinstance(panel.options, dict)]
    for problem in problems:
        print(f"not understood: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
