"""The picture of a `tune`: what alerts find and whom they disturb, against their burden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.onset import HOURS_AFTER, HOURS_BEFORE
from monitor.tuning import Tuned

__all__ = ["draw_tuning"]

_SIZE, _DPI = (10.4, 4.4), 100


def draw_tuning(found: Tuned, budget: float, file: Path) -> None:
    """Write a PNG of the trade-off of the chosen rule on the stays that chose, with the choice marked."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    curve = found.curve
    _lines(left, found, {
        "septic stays alerted": ([each.sensitivity for each in curve], "#0b5394"),
        "other stays ever alerted": ([each.other_ever_alerted for each in curve], "#b45f06"),
        "episodes that are right": ([each.ppv_episode for each in curve], "#38761d"),
    })  # fmt: skip
    left.set_ylim(0, 1.03)
    left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _lines(right, found, {"median lead": ([each.lead_hours_median for each in curve], "#0b5394")})
    right.set_ylim(-HOURS_AFTER - 0.5, HOURS_BEFORE + 0.5)  # between these leads are counted
    right.axhline(0, color="#777777", linewidth=0.8)
    right.set_ylabel("median lead, hours before the onset")
    for axes in (left, right):
        axes.axvline(budget, color="#777777", linestyle=":", linewidth=1.2)
        axes.set_xlabel("false alert episodes a patient-day")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, 0.97))
    chosen = found.chosen
    figure.suptitle(
        f"Budget {budget:g} (dotted); chosen (points): raise at {chosen.raise_threshold:.4f} for "
        f"{chosen.raise_minutes:g} min, resolve below {chosen.resolve_threshold:.4f}",
        fontsize="medium",
    )
    figure.savefig(file, dpi=_DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})


def _lines(axes: Axes, found: Tuned, lines: dict[str, tuple[list[float], str]]) -> None:
    burden = [each.false_per_patient_day for each in found.curve]
    at = [each.raise_threshold for each in found.curve].index(found.chosen.raise_threshold)
    for name, (values, colour) in lines.items():
        axes.plot(burden, values, ".-", markersize=3, color=colour, label=name)
        if np.isfinite(values[at]):
            axes.plot([burden[at]], [values[at]], "o", color=colour)
