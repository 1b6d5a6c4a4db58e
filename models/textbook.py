"""The textbook baseline: a two-layer LSTM(50) with a dense sigmoid, trained with plain binary cross-entropy.

    python -m models.textbook DATA OUT

What one finds in tutorials, and what the product's network is to be better than. It sees the last known value of each
of the seven vital signs, standardised, and the mean where a sign was not measured yet: not whether or when it was
measured, no age, no admission details. Every hour of every stay weighs the same, nothing is done against the clock, and
nothing is calibrated. DATA is the challenge's table (see `cohort.read_cohort`); the stays of its training part (see
`split`) train, those of its validation part stop the training. OUT is a folder for the weights, for figures with 95 %
intervals over stays, and for a picture of the loss.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from models.baselines import last_known
from models.cohort import Cohort, read_cohort
from models.curves import draw_losses
from models.evaluation import judge
from models.metrics import best_utility_threshold
from models.resampling import Figure, Resamples
from models.sequences import measure_scales, scaling_of
from models.split import SPLIT_SEED, split
from models.vital_signs import N_VITAL_SIGNS, NAMES

__all__ = ["Textbook", "TextbookError", "TextbookNet", "main", "train_textbook"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_WEIGHTS_FILE, _FIGURES_FILE, _CURVES_FILE = "textbook.safetensors", "figures.json", "curves.png"
_UNITS, _LAYERS = 50, 2
_SEED = 7
_EPOCHS, _PATIENCE = 40, 3  # at most; epochs without a lower validation loss before training stops
_STAYS = 64  # an update
_LEARNING_RATE = 0.001
_STAYS_AT_ONCE = 512  # when nothing is learned
_ROUNDS = 200
_DIGITS = 4


class TextbookError(ValueError):
    """A folder does not hold the baseline: the message says what to do."""


class Losses(NamedTuple):
    """Mean cross-entropy of an epoch's rows, while it was trained and on the validation stays after it."""

    training: float
    validation: float


class TextbookNet(nn.Module):
    """Two layers of LSTM over the hours of a stay, and a dense layer with a sigmoid: one probability an hour."""

    mean: Tensor  # (7) of the training stays, as is the deviation
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(N_VITAL_SIGNS))
        self.register_buffer("deviation", torch.ones(N_VITAL_SIGNS))
        self.lstm = nn.LSTM(N_VITAL_SIGNS, _UNITS, num_layers=_LAYERS, batch_first=True)
        self.dense = nn.Linear(_UNITS, 1)

    def forward(self, values: Tensor, rows: PackedSequence) -> Tensor:
        """Return the probabilities (N) of packed rows, given the last known values of all rows (R, 7; NaN: none)."""
        x = torch.nan_to_num((values[rows.data] - self.mean) / self.deviation)  # (N, 7)
        hidden, _ = self.lstm(PackedSequence(x, *rows[1:]))  # (N, 50)
        probability: Tensor = torch.sigmoid(self.dense(hidden.data)).squeeze(-1)
        return probability


def _pack(cohort: Cohort, stays: NDArray[np.int64]) -> PackedSequence:
    """Return the rows of stays of any length side by side, without padding."""
    ends = zip(cohort.offsets[stays].tolist(), cohort.offsets[stays + 1].tolist(), strict=True)
    return pack_sequence([torch.arange(start, end) for start, end in ends], enforce_sorted=False)


def train_textbook(
    training: Cohort, validation: Cohort, say: Callable[[str], object] = lambda _: None
) -> tuple[TextbookNet, list[Losses]]:
    """Return the network with the lowest validation loss, and every epoch's losses, which `say` is told as well."""
    # prepare
    torch.set_num_threads(1)
    torch.manual_seed(_SEED)
    rng = np.random.default_rng(_SEED)
    scaling = scaling_of(measure_scales(training))
    values = torch.from_numpy(last_known(training))  # (R, 7)
    labels = torch.from_numpy(training.known_labels.astype(np.float32))  # (R)
    # initialise
    net = TextbookNet()
    net.mean.copy_(torch.from_numpy(scaling.mean))
    net.deviation.copy_(torch.from_numpy(scaling.deviation))
    optimiser = torch.optim.Adam(net.parameters(), lr=_LEARNING_RATE)
    losses: list[Losses] = []
    best = {name: value.clone() for name, value in net.state_dict().items()}
    while len(losses) < _EPOCHS and _is_improving(losses):
        net.train()
        total = 0.0
        order = rng.permutation(training.n_stays)
        for start in range(0, len(order), _STAYS):
            rows = _pack(training, order[start : start + _STAYS])
            optimiser.zero_grad()
            probability = net(values, rows)  # forward
            loss = nn.functional.binary_cross_entropy(probability, labels[rows.data])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()  # update
            total += float(loss.detach()) * len(rows.data)
        said = _probabilities(net, validation)
        losses.append(Losses(total / training.n_rows, float(_cross_entropy(said, validation).mean())))
        say(f"epoch {len(losses)}: loss {losses[-1].training:.4f}, validation {losses[-1].validation:.4f}")
        if losses[-1].validation <= min(each.validation for each in losses):
            best = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(best)
    return net, losses


def _is_improving(losses: list[Losses]) -> bool:
    validation = [each.validation for each in losses]
    return len(losses) - int(np.argmin(validation)) <= _PATIENCE if losses else True


@torch.no_grad()
def _probabilities(net: TextbookNet, cohort: Cohort, vitals: frozenset[str] | None = None) -> F64:
    """Return what the network says of each row (R) when it sees only some vital signs (None: all)."""
    net.eval()
    seen = np.array([vitals is None or name in vitals for name in NAMES])
    values = torch.from_numpy(np.where(seen, last_known(cohort), np.float32(np.nan)))
    said = np.zeros(cohort.n_rows)
    shortest_first = np.argsort(cohort.lengths, kind="stable")
    for start in range(0, len(shortest_first), _STAYS_AT_ONCE):
        rows = _pack(cohort, shortest_first[start : start + _STAYS_AT_ONCE])
        said[rows.data.numpy()] = net(values, rows).numpy()
    return said


def _cross_entropy(said: F64, cohort: Cohort) -> F64:
    probability = np.clip(np.where(cohort.known_labels == 1, said, 1 - said), 1e-12, 1)
    return np.asarray(-np.log(probability))


@dataclass(frozen=True)
class _Judge:
    """Figures of the network on some stays, flags set at one threshold for the utility and at a half for accuracy."""

    net: TextbookNet
    threshold: float

    def figures(self, cohort: Cohort, rounds: int) -> dict[str, object]:
        """Return how many stays there are, and the figures: none of them stands alone."""
        said, labels = _probabilities(self.net, cohort), cohort.known_labels
        resamples = Resamples.draw(cohort.n_stays, rounds, SPLIT_SEED)
        correct = (said >= 1 / 2) == (labels == 1)
        columns = (_cross_entropy(said, cohort), correct, labels == 0, np.ones(cohort.n_rows))
        sums = np.stack([np.add.reduceat(column.astype(float), cohort.offsets[:-1]) for column in columns], axis=1)

        def mean(column: int) -> Figure:
            return resamples.of_sums(sums, lambda drawn: drawn[:, column] / drawn[:, -1])

        found = {"loss": mean(0), "accuracy": mean(1), "accuracy_of_always_no": mean(2)}
        found |= judge(said, cohort, flags=said >= self.threshold, probabilities=said, resamples=resamples)
        return {"stays": cohort.n_stays, "septic_stays": int(cohort.septic.sum())} | {
            name: figure.rounded(_DIGITS) for name, figure in found.items()
        }


def write_textbook(cohort: Cohort, out: Path, say: Callable[[str], object] = lambda _: None) -> dict[str, object]:
    """Train on a cohort with labels, write everything into a folder, and return the figures."""
    parts = split(cohort)
    training, validation, test = (cohort.select(part) for part in (parts.train, parts.validation, parts.test))
    net, losses = train_textbook(training, validation, say)
    said = _probabilities(net, validation)
    judged = _Judge(net, best_utility_threshold(said, validation.known_labels, validation.offsets))
    figures = {
        "seed": _SEED,
        "split_digest": parts.digest,
        "epochs": [each._asdict() for each in losses],
        "utility_threshold": judged.threshold,
        "train": judged.figures(training, 0),
        "validation": judged.figures(validation, _ROUNDS),
        "test": judged.figures(test, _ROUNDS),
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, out / _WEIGHTS_FILE)
    (out / _FIGURES_FILE).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    draw_losses(out / _CURVES_FILE, [each.training for each in losses], [each.validation for each in losses])
    return figures


class Textbook:
    """The trained baseline, to stand beside a model: one network, whatever it is shown."""

    def __init__(self, folder: Path) -> None:
        """Read the weights of a folder; raises TextbookError where they are missing."""
        self._net = TextbookNet()
        try:
            self._net.load_state_dict(load_file(folder / _WEIGHTS_FILE))
        except (OSError, SafetensorError, RuntimeError) as error:
            msg = f"{folder}: not a folder written by `python -m models.textbook` ({error})"
            raise TextbookError(msg) from error

    def check(self, vitals: frozenset[str] | None, hide: frozenset[str]) -> None:
        """Do nothing: it can be shown any vital signs, and what can be hidden it never sees."""

    def scores(self, cohort: Cohort, vitals: frozenset[str] | None, hide: frozenset[str]) -> dict[str, F64]:
        """Return log-odds (R) for each row of a cohort, given these vital signs (None: all)."""
        self.check(vitals, hide)
        said = np.clip(_probabilities(self._net, cohort, vitals), 1e-12, 1 - 1e-7)
        return {"textbook": np.log(said / (1 - said))}


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.textbook", description="Train the textbook baseline, a two-layer LSTM(50)."
    )
    parser.add_argument("data", metavar="DATA", type=Path, help="stays with labels, .parquet or a folder of .psv files")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder for weights, figures and a picture")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Train, write and return the exit code."""
    chosen = _arguments(arguments)
    figures = write_textbook(read_cohort(chosen.data), chosen.out, lambda line: sys.stderr.write(line + "\n"))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(figures["test"]), indent=1).decode() + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
