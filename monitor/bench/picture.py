"""The picture of a `bench` run, drawn from its figures and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["draw_bench"]

_SIZE, _DPI = (10.4, 4.2), 100
_WORKER, _PLAIN = "#0b5394", "#777777"


def draw_bench(found: dict[str, Any], file: Path) -> None:
    """Write a PNG of throughput against patients, and of latency against load, from what `Report.as_json` returns."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_throughput(left, found["runs"])
    _draw_latency(right, found["latency"])
    for axes in (left, right):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    where = found["where"]
    figure.suptitle(f"{where['date']}, {where['machine']}, broker: {where['broker']}", fontsize="small")
    figure.savefig(file, dpi=_DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})


def _draw_throughput(axes: Axes, runs: list[dict[str, Any]]) -> None:
    for workers in sorted({run["workers"] for run in runs}):
        mine = sorted((run for run in runs if run["workers"] == workers), key=lambda run: run["patients"])
        label = f"{workers} worker{'s' if workers > 1 else ''}"
        _line(axes, mine, "patients", "events_per_second", label, _WORKER, "-" if workers == 1 else "--")
    plain = sorted((run for run in runs if run["baseline_events_per_second"]), key=lambda run: run["patients"])
    if plain:
        _line(axes, plain, "patients", "baseline_events_per_second", "plain loop", _PLAIN, "-")
    axes.set_xscale("log")
    axes.set_xlabel("patients")
    axes.set_ylabel("observations a second, from a backlog")


def _draw_latency(axes: Axes, paced: list[dict[str, Any]]) -> None:
    for engine, colour in (("worker", _WORKER), ("plain loop", _PLAIN)):
        mine = sorted((each for each in paced if each["engine"] == engine), key=lambda each: each["rate"])
        if not mine:
            continue
        rates = [each["rate"] for each in mine]
        for quantile, style, name in ((0, "-", "median"), (1, "--", "99th percentile")):
            waits = [each["alert_ms"][quantile] for each in mine]
            axes.plot(rates, waits, style, color=colour, marker="o", label=f"{engine}, {name}")
    axes.set_xlabel("observations a second, at a steady pace")
    axes.set_ylabel("ms from Kafka's append to the alert")


def _line(  # noqa: PLR0917 (what a line is made of)
    axes: Axes, runs: list[dict[str, Any]], x: str, y: str, label: str, colour: str, style: str
) -> None:
    axes.plot([run[x] for run in runs], [run[y] for run in runs], style, color=colour, marker="o", label=label)
