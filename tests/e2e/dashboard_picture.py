"""Draws what the dashboards show into docs/pictures/dashboards.png: `python -m tests.e2e.dashboard_picture`.

Workers on a real broker, real stays in replay, a real Prometheus with the shipped rules a hundred times faster; what is
drawn is what it answers to the panels' own queries. Grafana itself is not asked.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from monitor.publishing import Publisher, PublisherOptions
from monitor.replay import ReplayOptions, ReplayStream
from tests.deploy.dashboards import DASHBOARDS, Panel, panels_of
from tests.e2e.operations import FASTER, Feed, Operations, faster, open_operations
from tests.e2e.ward import Ward, real_stays

_PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "dashboards.png"
_SECONDS = 90
_STAYS, _SPEED = 60, 21.0  # patient-hours a second
_RATE_INTERVAL = "500s"  # 5 s once it is divided
_COLUMNS, _WIDTH, _ROW = 24, 15.0, 0.26  # of Grafana's grid; inches; inches a row of it
_TITLES = {"clinical": "Clinical burden and flow", "engine": "Engine health"}
_COLOURS = ("#3274d9", "#e0752d", "#56a64b", "#a352cc", "#e02f44", "#c9a20c", "#37872d", "#8f3bb8", "#6b7785")
_GREY = "#52545c"
_ENTRY = re.compile(r"\{\{(\w+)\}\}")
Series = list[tuple[str, dict[str, Any]]]


def main() -> None:
    """Run a deployment for a minute and a half and draw its dashboards."""
    with tempfile.TemporaryDirectory() as folder, open_operations(Path(folder)) as operations:
        operations.watch()
        _live(operations)
        time.sleep(2)  # the last scrape and the rules after it
        _draw(operations).savefig(_PICTURE, dpi=100)
    sys.stdout.write(f"{_PICTURE}\n")


def _live(operations: Operations) -> None:
    """Let a ward live: a replay, patients who are measured now, a nurse who acknowledges, a gateway that errs."""
    ward = operations.ward
    feed, stop = Feed(ward), threading.Event()
    stream = ReplayStream(real_stays(_STAYS, seed=11), ReplayOptions(seed=2), datetime.now(UTC) - timedelta(hours=1))
    replaying = threading.Thread(target=_replay, args=(ward, stream, stop))
    replaying.start()
    end = time.monotonic() + _SECONDS
    answered: set[str] = set()
    while time.monotonic() < end:
        _acknowledge(operations, answered)
        ward.send(ward.topics.observations, [(b"p1", b"{", []), (b"p2", b'{"patient_id": "p2", "heart_rate": 0}', [])])
        time.sleep(4)
    stop.set()
    replaying.join()
    feed.stop()


def _replay(ward: Ward, stream: ReplayStream, stop: threading.Event) -> None:
    with ward.producer() as producer, ward.positions() as positions:
        Publisher(stream, ward.topics, producer, positions, PublisherOptions(_SPEED, 90.0), stop=stop).run()


def _acknowledge(operations: Operations, answered: set[str]) -> None:
    """Acknowledge every other alert that nobody has."""
    ward = operations.ward
    raised = [event for event in ward.values(ward.topics.alert_events) if event["transition"] == "raised"]
    new = [event for event in raised[::2] if event["alert_id"] not in answered and not event["test"]]
    answered |= {event["alert_id"] for event in new}
    commands: list[tuple[bytes | None, bytes | None, Any]] = []
    for event in new:
        said = {name: event[name] for name in ("patient_id", "alert_id")}
        said |= {"type": "acknowledge", "by": "nurse", "command_id": uuid.uuid4().hex}
        said["time"] = datetime.now(UTC).isoformat()
        commands.append((event["patient_id"].encode(), json.dumps(said).encode(), []))
    ward.send(ward.topics.alert_commands, commands)


def _draw(operations: Operations) -> Figure:
    rows = {name: max(_bottom(panel) for panel in panels_of(name)) for name in DASHBOARDS}
    height = (sum(rows.values()) + 3 * len(rows) + 1) * _ROW
    figure = plt.figure(figsize=(_WIDTH, height), facecolor="#f4f5f8")
    top = height - 0.1
    for name in DASHBOARDS:
        figure.text(0.1 / _WIDTH, (top - 0.3) / height, _TITLES[name], fontsize=15, weight="bold", color="#24292e")
        top -= 2 * _ROW
        for panel in panels_of(name):
            _draw_panel(figure, operations, panel, top, height)
        top -= (rows[name] + 1) * _ROW
    note = (
        f"{_SECONDS} s of two workers, a canary, a notifier and a live budget; {_STAYS} real stays in replay at "
        f"{_SPEED:g} patient-hours a second, whose measurements lie in the past, and 10 live patients. "
        f"Windows {FASTER} times shorter than shipped."
    )
    figure.text(0.1 / _WIDTH, 0.12 / height, note, fontsize=8, color=_GREY)
    return figure


def _bottom(panel: Panel) -> int:
    at = panel.told["gridPos"]
    return int(at["y"] + at["h"])


def _draw_panel(figure: Figure, operations: Operations, panel: Panel, top: float, height: float) -> None:
    at, wide = panel.told["gridPos"], _WIDTH / _COLUMNS
    left, upper = at["x"] * wide + 0.06, top - at["y"] * _ROW - 0.05
    box = (at["w"] * wide - 0.12, at["h"] * _ROW - 0.1)
    card = figure.add_axes((left / _WIDTH, (upper - box[1]) / height, box[0] / _WIDTH, box[1] / height))
    card.set(xticks=[], yticks=[], facecolor="white")
    for spine in card.spines.values():
        spine.set_color("#d8d9dd")
    figure.text(
        (left + 0.1) / _WIDTH, (upper - 0.2) / height, panel.title, fontsize=8.5, weight="bold", color="#24292e"
    )
    if panel.kind == "timeseries":
        inner = (left + 0.5, upper - box[1] + 0.55, box[0] - 0.62, box[1] - 0.87)
        axes = figure.add_axes(
            (inner[0] / _WIDTH, inner[1] / height, inner[2] / _WIDTH, inner[3] / height), facecolor="white"
        )
        _draw_lines(axes, operations, panel)
    elif panel.kind == "stat":
        _draw_number(card, operations, panel)
    elif panel.kind == "bargauge":
        inner = (left + 1.1, upper - box[1] + 0.1, box[0] - 1.7, box[1] - 0.45)
        axes = figure.add_axes((inner[0] / _WIDTH, inner[1] / height, inner[2] / _WIDTH, inner[3] / height))
        _draw_bars(axes, operations, panel)
    else:
        _draw_table(card, operations, panel)


def _found(operations: Operations, panel: Panel) -> Series:
    """Return what Prometheus answers to a panel's queries, each series with its legend."""
    found: Series = []
    for expression, legend in panel.asked(_RATE_INTERVAL):
        asked = faster(expression)
        lines = panel.kind == "timeseries"
        answers = operations.query_range(asked, _SECONDS, 1) if lines else operations.query(asked)
        found += [(_legend(operations, legend, series["metric"]), series) for series in answers]
    return found


def _legend(operations: Operations, legend: str, labels: dict[str, str]) -> str:
    filled = _ENTRY.sub(lambda entry: labels.get(entry[1], ""), legend)
    named = {**operations.ward.ports, **operations.ports}
    for name, port in named.items():
        filled = filled.replace(f"127.0.0.1:{port}", name)
    return re.sub(r"^sepsis-monitor(-\w+)? ", "", filled)


def _written(unit: str, value: float) -> str:
    """Return a value as a person reads it in its unit."""
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    if unit == "s":
        return f"{value:.3g} s" if value < 100 else f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        return f"{value / 1e6:.3g} MB"
    return f"{value:.3g}" + ("/s" if unit == "ops" else "")


def _draw_lines(axes: Axes, operations: Operations, panel: Panel) -> None:
    now = time.time()
    defaults = panel.told["fieldConfig"]["defaults"]
    series = [(legend, one) for legend, one in _found(operations, panel)]
    moving = [pair for pair in series if any(float(value) for _, value in pair[1]["values"])]
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    shown = (moving or series)[: len(_COLOURS)]
    base: dict[float, float] = {}
    for (legend, one), colour in zip(shown, _COLOURS, strict=False):
        times = [float(at) for at, _ in one["values"]]
        values = [float(value) for _, value in one["values"]]
        if stacked:
            lower = [base.get(at, 0.0) for at in times]
            values = [low + value for low, value in zip(lower, values, strict=True)]
            base.update(zip(times, values, strict=True))
            axes.fill_between([at - now for at in times], lower, values, color=colour, alpha=0.25, linewidth=0)
        axes.plot([at - now for at in times], values, color=colour, linewidth=1.1, label=legend)
    unseen = len(series) - len(shown)
    _dress(axes, panel, f"({unseen} more{'' if len(moving) > len(shown) else ' at 0'})" if unseen else "")
    if "min" in defaults:
        axes.set_ylim(bottom=min(defaults["min"], axes.get_ylim()[0]) if defaults["min"] < 0 else 0)
    if "max" in defaults:
        axes.set_ylim(top=defaults["max"])


def _dress(axes: Axes, panel: Panel, unseen: str) -> None:
    """Scales, grid and legend, as small as they can be read."""
    axes.set_xlim(-_SECONDS, 0)
    axes.grid(visible=True, color="#ecedf0", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=6.5, colors=_GREY, length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _written(panel.unit, value)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if unseen:
        handles, labels = [*handles, Line2D([], [], alpha=0)], [*labels, unseen]
    axes.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.46, -0.13),
        ncol=2 if len(labels) < 3 else 3 if len(labels) < 10 else 4,
        fontsize=6.2,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.0,
        labelspacing=0.25,
    )


def _draw_number(card: Axes, operations: Operations, panel: Panel) -> None:
    ((_, series),) = _found(operations, panel)
    value = float(series["value"][1])
    colour = "#3274d9"
    for step in panel.told["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            colour = {"green": "#37872d", "orange": "#e0752d", "red": "#e02f44"}[step["color"]]
    said = _written(panel.unit, value)
    card.text(0.5, 0.4, said, fontsize=20, color=colour, ha="center", va="center", transform=card.transAxes)


def _draw_bars(axes: Axes, operations: Operations, panel: Panel) -> None:
    found = sorted((float(series["value"][1]), legend) for legend, series in _found(operations, panel))
    axes.barh([legend for _, legend in found], [value for value, _ in found], color="#3274d9", height=0.6)
    for place, (value, _) in enumerate(found):
        axes.text(value, place, f"  {value:.0f}", va="center", fontsize=7, color=_GREY)
    axes.tick_params(labelsize=7, colors=_GREY, length=0)
    axes.set_xticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_table(card: Axes, operations: Operations, panel: Panel) -> None:
    lines = [_line(operations, series["metric"], series["value"][1]) for _, series in _found(operations, panel)]
    for place, line in enumerate(lines[:7]):
        card.text(0.012, 0.7 - place * 0.15, line, fontsize=7, color=_GREY, transform=card.transAxes, va="center")


def _line(operations: Operations, labels: dict[str, str], value: str) -> str:
    if "alertname" in labels:
        more = _legend(operations, labels.get("instance", ""), labels)
        return "  ".join(
            part for part in (labels["alertname"].removeprefix("SepsisMonitor"), labels["severity"], more) if part
        )
    return f"{labels['name']} {labels['version']}   {labels['digest']}   on {value} workers"


if __name__ == "__main__":
    main()
