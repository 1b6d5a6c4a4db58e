"""The course of a training run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.checkpoint import Epoch

__all__ = ["draw_curves", "draw_losses"]


def draw_curves(path: Path, history: Sequence[Epoch], *, clock: bool) -> None:
    """Write a PNG with the loss by epoch and what the validation stays judge by: the time-adjusted AUROC.

    With `clock`, for a model that may see it, they judge by the AUROC with the hour's odds.
    """
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = range(1, len(history) + 1)
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [epoch.loss for epoch in history], marker=".", label="training stays")
    left.set(xlabel="epoch", ylabel="cross-entropy" if clock else "hour-matched cross-entropy")
    right.plot(epochs, [epoch.auroc_all for epoch in history], marker=".", label="all vital signs")
    right.plot(epochs, [epoch.auroc_three for epoch in history], marker=".", label="three vital signs")
    right.set(xlabel="epoch", ylabel=f"{'AUROC' if clock else 'time-adjusted AUROC'}, validation stays")
    _save(figure, path)


def draw_losses(path: Path, training: Sequence[float], validation: Sequence[float]) -> None:
    """Write a PNG with the cross-entropy of training and validation stays by epoch."""
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for losses, label in ((training, "training stays"), (validation, "validation stays")):
        axes.plot(range(1, len(losses) + 1), losses, marker=".", label=label)
    axes.set(xlabel="epoch", ylabel="binary cross-entropy")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
