"""The pictures of a model card, drawn from an evaluation and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter

from monitor.evaluation_tables import BASELINE_LABELS, SPAN_LABELS

__all__ = ["PICTURES", "draw_pictures"]

_DPI = 100
_WIDE, _NARROW, _WITH_LEGEND = (10.4, 4.4), (5.2, 4.2), (7.6, 4.2)
_VIEW_COLOURS = {"all": "#0b5394", "three_vital_signs": "#e69138", "without_admission": "#38761d"}
_SPAN_COLOURS = {"whole_stay": "#0b5394", "first_48h": "#e69138"}
_BASELINE_STYLES = (
    *(("#111111", "-"), ("#777777", "--"), ("#777777", ":"), ("#777777", "-"), ("#777777", "-.")),
    *(("#674ea7", "-"), ("#a64d79", "-"), ("#a64d79", "--")),
)
_MARKERS = "sxv^+oDP"
_SUFFIX = {"whole_stay": "", "first_48h": "_first_48h"}  # of the figures of a span
_HOURS_BEFORE, _HOURS_AFTER = 12, 3
_RISK_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_FEW = 0.03  # below this recall, precision rests on a few hours


def draw_pictures(found: dict[str, Any], folder: Path) -> None:
    """Write a PNG for each of PICTURES into a folder, made where missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, size, draw) in PICTURES.items():
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, found)
        for axes in figure.axes:
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / f"{name}.png", dpi=_DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})


def _first(found: dict[str, Any]) -> dict[str, Any]:
    view: dict[str, Any] = next(iter(found["views"].values()))
    return view


def _draw_curves(axes: Axes, found: dict[str, Any], span: str, curve: str, area: str) -> list[Any]:
    """Draw a curve of each baseline, and of the model in each view, named with its area; return all their points."""
    drawn = []

    def draw(entry: dict[str, Any], figures: dict[str, Any], name: str, **style: Any) -> None:
        points = entry["curves"][span][curve]
        value = figures[area + _SUFFIX[span]]["value"]
        axes.plot(*zip(*points, strict=True), label=f"{name}, {value or 0:.3f}", **style)
        drawn.extend(points)

    for i, (name, entry) in enumerate(_first(found)["baselines"].items()):
        colour, line = _BASELINE_STYLES[i % len(_BASELINE_STYLES)]
        draw(entry, entry["figures"], BASELINE_LABELS.get(name, name), color=colour, linestyle=line, linewidth=0.9)
    for name, view in found["views"].items():
        title = f"{found['model']['name']}: {name.replace('_', ' ')}"
        draw(view, view["overall"], title, color=_VIEW_COLOURS.get(name), linewidth=1.9)
    axes.legend(frameon=False, fontsize=7)
    return drawn


def _roc(figure: Figure, found: dict[str, Any]) -> None:
    for axes, span in zip(figure.subplots(1, 2), reversed(SPAN_LABELS), strict=True):
        _draw_curves(axes, found, span, "roc", "auroc")
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.6, linestyle=":")
        axes.set(
            xlabel="share of negative hours flagged",
            ylabel="share of positive hours flagged",
            title=f"ROC, {SPAN_LABELS[span]}",
        )


def _precision_recall(figure: Figure, found: dict[str, Any]) -> None:
    for axes, span in zip(figure.subplots(1, 2), reversed(SPAN_LABELS), strict=True):
        points = _draw_curves(axes, found, span, "precision_recall", "auprc")
        axes.set_ylim(0, max((precision for recall, precision in points if recall > _FEW), default=1.0) * 1.1)
        axes.set(
            xlabel="share of positive hours flagged (recall)",
            ylabel="share of flagged hours positive (precision)",
            title=f"Precision and recall, {SPAN_LABELS[span]}",
        )


def _calibration(figure: Figure, found: dict[str, Any]) -> None:
    axes = figure.subplots()
    seen = []
    for name, view in found["views"].items():
        risks = [each["risk"] for each in view["reliability"]]
        shares = [each["share"] for each in view["reliability"]]
        text = f"{name.replace('_', ' ')}, error {view['overall']['ece']['value']:.4f}"
        axes.plot(risks, shares, marker="o", markersize=3.5, color=_VIEW_COLOURS.get(name), linewidth=1, label=text)
        seen += [each for each in risks if each > 0]
    ends = [min(seen, default=1e-3), max(seen, default=1.0)]
    axes.plot(ends, ends, color="black", linewidth=0.6, linestyle=":")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="mean risk said, twentieths of the hours",
        ylabel="share of hours positive",
        title="Calibration",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(_RISK_TICKS))
        axis.set_major_formatter(PercentFormatter(1.0))
        axis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=7)


def _lead_time(figure: Figure, found: dict[str, Any]) -> None:
    axes = figure.subplots()
    hours = range(_HOURS_BEFORE, -_HOURS_AFTER - 1, -1)
    for span, text in SPAN_LABELS.items():
        leads = _first(found)["leads"][span]
        counts = {int(lead): count for lead, count in leads["alerted_by_hours"].items()}
        stays = max(leads["septic_stays"], 1)
        shares = [sum(count for lead, count in counts.items() if lead >= hour) / stays for hour in hours]
        axes.step(list(hours), shares, where="mid", color=_SPAN_COLOURS[span], linewidth=1.8, label=text)
    axes.invert_xaxis()
    axes.axvline(0, color="black", linewidth=0.6, linestyle=":")
    axes.set_ylim(0, 1)
    axes.set(
        xlabel="hours before onset",
        ylabel="share of septic stays alerted by then",
        title=f"Lead time, policy {found['policy']['name']} {found['policy']['version']}",
    )
    axes.legend(frameon=False, fontsize=7)


def _burden(figure: Figure, found: dict[str, Any]) -> None:
    axes = figure.subplots()
    view = _first(found)
    for span, text in SPAN_LABELS.items():
        curve = view["alarm_curve"][span]
        x = [at["episodes_per_patient_day"] for at in curve]
        axes.plot(x, [at["septic_alerted"] for at in curve], color=_SPAN_COLOURS[span], linewidth=1.8, label=text)
        shipped = view["alarms"][span]
        point = (shipped["episodes_per_patient_day"]["value"], shipped["septic_alerted"]["value"])
        axes.plot(*point, marker="o", markersize=6, color=_SPAN_COLOURS[span])
    for i, (name, entry) in enumerate(view["baselines"].items()):
        at = entry["compared"]["episodes"]
        if at["reached"]:
            point = (at["figures"]["episodes_per_patient_day"]["value"], at["figures"]["septic_alerted"]["value"])
            text = f"{BASELINE_LABELS.get(name, name)}, first 48 h"
            colour, _ = _BASELINE_STYLES[i % len(_BASELINE_STYLES)]
            axes.plot(*point, marker=_MARKERS[i % len(_MARKERS)], linestyle="", color=colour, label=text)
    axes.set_ylim(0, 1)
    axes.set(
        xlabel="alert episodes a patient-day",
        ylabel="share of septic stays alerted in time",
        title="Burden and sensitivity (dot: the policy)",
    )
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))


PICTURES: dict[str, tuple[str, tuple[float, float], Callable[[Figure, dict[str, Any]], None]]] = {
    "roc": ("Receiver operating characteristic of hourly risks, with the areas under the curves", _WIDE, _roc),
    "precision_recall": ("Precision against recall of hourly risks, with their averages", _WIDE, _precision_recall),
    "calibration": ("Risk said against share of positive hours", _NARROW, _calibration),
    "lead_time": ("Share of septic stays alerted by so many hours before onset", _NARROW, _lead_time),
    "burden": ("Share of septic stays alerted against alert episodes a patient-day", _WITH_LEGEND, _burden),
}
