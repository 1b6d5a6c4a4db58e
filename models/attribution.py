"""How far each input of the last hours moved the network's logit: integrated gradients, in numpy.

Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017: the gradient of the logit, averaged on
the straight line from a baseline to the inputs as they are, times the difference. The contributions of all inputs add
up to the difference of the two logits; what is missing, the convergence delta, comes from averaging over a few points,
those of Gauss and Legendre.

The input enters the gates linearly, so that the line's points differ in a number a gate: all points go through the
hours together, forward and backward, by matrices of the recurrent weights alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.lstm import Weights

__all__ = ["MORE_POINTS", "POINTS", "Attribution", "IntegratedGradients"]

F64 = NDArray[np.float64]

POINTS = 16  # on the line
MORE_POINTS = 256  # where these were too few: one stay in some hundred, where the network turns sharply
_ENOUGH = 1e-4  # log-odds of convergence delta that call for no more points


@dataclass(frozen=True)
class Attribution:
    """What each input of T hours contributed to the logit of the last."""

    contributions: F64  # (T, F)
    gradients: F64  # (T, F) the logit's, averaged on the line
    logit: float  # with the inputs as they are
    baseline_logit: float

    @property
    def delta(self) -> float:
        """The convergence delta: the sum of the contributions less the difference of the logits they explain."""
        return float(self.contributions.sum() - (self.logit - self.baseline_logit))


@dataclass(frozen=True)
class _Hour:
    """What the way back needs of an hour, for P points of a network of H units (P, H each)."""

    i: F64
    f: F64
    g: F64
    o: F64
    c_before: F64
    tanh_c: F64

    def first(self, points: int) -> _Hour:
        """Return the first points of it."""
        return _Hour(*(part[:points] for part in (self.i, self.f, self.g, self.o, self.c_before, self.tanh_c)))


class IntegratedGradients:
    """Attributions for one network. Holds no stay's data; may be shared by threads."""

    def __init__(self, weights: Weights) -> None:
        """Take the parameters of the network that runs."""
        self._hidden = weights.hidden
        self._of_inputs = weights.inputs.astype(np.float64)  # (4H, F)
        self._of_state = weights.recurrent.astype(np.float64)  # (4H, H)
        self._bias = weights.bias.astype(np.float64)
        self._head = weights.head.astype(np.float64)
        self._head_bias = float(weights.head_bias[0])

    def attribute(self, h: F64, c: F64, baseline: F64, inputs: F64, points: int | None = None) -> Attribution:
        """Attribute the logit after T hours to their inputs (T, F), against a baseline (T, F).

        `h`, `c` (H) are the state before the first hour, the same at both ends of the line. Unless `points` says how
        many, there are as many as the convergence delta calls for.
        """
        if points is not None:
            return self._attribute(h, c, baseline, inputs, points)
        found = self._attribute(h, c, baseline, inputs, POINTS)
        return found if abs(found.delta) <= _ENOUGH else self._attribute(h, c, baseline, inputs, MORE_POINTS)

    def _attribute(self, h: F64, c: F64, baseline: F64, inputs: F64, points: int) -> Attribution:
        places, shares = _points(points)
        along = np.concatenate([places, [0.0, 1.0]])  # the ends too, for the logits that are explained
        logits, hours = self._forward(h, c, baseline, inputs, along)
        gradients = self._backward([hour.first(points) for hour in hours], shares)
        return Attribution(
            contributions=gradients * (inputs - baseline),
            gradients=gradients,
            logit=float(logits[-1]),
            baseline_logit=float(logits[-2]),
        )

    def _forward(self, h: F64, c: F64, baseline: F64, inputs: F64, along: F64) -> tuple[F64, list[_Hour]]:
        """Return the logits (P) at points on the line, 0 the baseline and 1 the inputs, and what each hour computed."""
        start = baseline @ self._of_inputs.T + self._bias  # (T, 4H)
        direction = (inputs - baseline) @ self._of_inputs.T
        size = self._hidden
        hidden, cell = np.tile(h, (len(along), 1)), np.tile(c, (len(along), 1))
        hours = []
        for at, towards in zip(start, direction, strict=True):
            gates = at + along[:, None] * towards + hidden @ self._of_state.T
            i, f, o = (_sigmoid(gates[:, gate * size : (gate + 1) * size]) for gate in (0, 1, 3))
            g = np.tanh(gates[:, 2 * size : 3 * size])
            after = f * cell + i * g
            hours.append(_Hour(i, f, g, o, c_before=cell, tanh_c=np.tanh(after)))
            cell, hidden = after, o * hours[-1].tanh_c
        return hidden @ self._head + self._head_bias, hours

    def _backward(self, hours: list[_Hour], shares: F64) -> F64:
        """Return the gradient of the logit by the inputs of each hour (T, F), averaged over points with `shares`."""
        by_hidden = np.tile(self._head, (len(shares), 1))  # (P, H)
        by_cell = np.zeros_like(by_hidden)
        by_gates = np.empty((len(hours), 4 * self._hidden))
        for place in range(len(hours) - 1, -1, -1):
            hour = hours[place]
            by_cell = by_cell + by_hidden * hour.o * (1 - hour.tanh_c**2)
            parts = (
                by_cell * hour.g * hour.i * (1 - hour.i),
                by_cell * hour.c_before * hour.f * (1 - hour.f),
                by_cell * hour.i * (1 - hour.g**2),
                by_hidden * hour.tanh_c * hour.o * (1 - hour.o),
            )
            gates = np.concatenate(parts, axis=1)  # (P, 4H)
            by_gates[place] = shares @ gates
            by_hidden = gates @ self._of_state
            by_cell = by_cell * hour.f
        return by_gates @ self._of_inputs


@lru_cache(maxsize=8)
def _points(number: int) -> tuple[F64, F64]:
    """Return the places on a line from 0 to 1, and their shares, of Gauss-Legendre quadrature."""
    nodes, shares = np.polynomial.legendre.leggauss(number)
    return (nodes + 1) / 2, shares / 2


def _sigmoid(x: F64) -> F64:
    half: F64 = np.tanh(x / 2)
    return (half + 1) / 2
