"""Results as a table in Markdown, as a plot, and as JSON."""

import dataclasses
import json

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

# In a fixed order, so that a picture is the same for the same figures.
matplotlib.rcParams["svg.hashsalt"] = "lakeferry"

COLOURS = {"floor": "#9aa5b1", "lakeferry": "#1f6feb", "peer": "#d4a72c"}


def write(folder, name, head, results, failures):
    """`results`: of each contender its kind, the figures that count, and how often it ran."""
    folder.mkdir(parents=True, exist_ok=True)
    floor = min((figures.wall for kind, figures, _ in results.values() if kind == "floor"),
                default=None)
    lines = [f"# {name}", "", *head, "",
             "| | wall s | × floor | client CPU s | backend CPU s | memory MiB | WAL MiB | rounds |",
             "|---|---|---|---|---|---|---|---|"]
    ordered = sorted(results.items(), key=lambda item: item[1][1].wall)
    for contender, (_, figures, rounds) in ordered:
        ratio = f"{figures.wall / floor:.2f}" if floor else ""
        lines.append(
            f"| {contender} | {figures.wall:.2f} | {ratio} | {figures.client_cpu:.2f} "
            f"| {figures.backend_cpu:.2f} | {figures.rss_mib:.0f} | {figures.wal_mib:.0f} "
            f"| {rounds} |")
    lines += [""] + [f"{contender}: {why}" for contender, why in failures.items()]
    text = "\n".join(lines).rstrip() + "\n"
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    raw = {contender: {"kind": kind, "rounds": rounds, **dataclasses.asdict(figures)}
           for contender, (kind, figures, rounds) in ordered}
    (folder / f"{name}.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    _draw(folder / f"{name}.svg", name, ordered)
    print(text)


def _draw(path, name, ordered):
    names = [contender for contender, _ in ordered]
    walls = [figures.wall for _, (_, figures, _) in ordered]
    colours = [COLOURS[kind] for _, (kind, _, _) in ordered]
    figure, axes = pyplot.subplots(figsize=(8, 0.5 + 0.4 * len(names)))
    bars = axes.barh(names, walls, color=colours)
    axes.bar_label(bars, fmt="%.1f s", padding=3)
    axes.invert_yaxis()
    axes.set_title(name)
    axes.set_xlabel("seconds, less is better")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
