"""Integrated gradients in numpy against Captum's on the network as torch has it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.artifact import load_model, untrained_model
from models.attribution import MORE_POINTS, POINTS, Attribution
from models.attribution import IntegratedGradients as Gradients
from models.lstm import Weights
from models.net import StayNet

BEDSIDE = load_model("bedside")
UNTRAINED = untrained_model(seed=3)
HOURS = 7

F64 = NDArray[np.float64]


def drawn(weights: Weights, seed: int, hours: int = HOURS) -> tuple[F64, F64, F64, F64]:
    """Return a state and two ends of a line, such as stays have."""
    rng = np.random.default_rng(seed)
    size = weights.hidden, weights.inputs.shape[1]
    h, c = rng.uniform(-0.9, 0.9, size[0]), rng.normal(0, 1.5, size[0])
    baseline = rng.normal(0, 1, (hours, size[1])).clip(-6, 6)
    return h, c, baseline, (baseline + rng.normal(0, 1, baseline.shape)).clip(-6, 6)


class FromState(torch.nn.Module):
    """The logit after the last hour of a network that starts from a given state."""

    def __init__(self, weights: Weights, h: F64, c: F64) -> None:
        super().__init__()
        self.net = StayNet(weights.inputs.shape[1], weights.hidden).double()
        named = dict(self.net.lstm.named_parameters())
        with torch.no_grad():
            named["weight_ih_l0"].copy_(torch.from_numpy(weights.inputs))
            named["weight_hh_l0"].copy_(torch.from_numpy(weights.recurrent))
            named["bias_ih_l0"].copy_(torch.from_numpy(weights.bias))
            named["bias_hh_l0"].zero_()
            self.net.head.weight.copy_(torch.from_numpy(weights.head[None]))
            self.net.head.bias.copy_(torch.from_numpy(weights.head_bias))
        self.h, self.c = torch.from_numpy(h), torch.from_numpy(c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (B) of inputs (B, T, F)."""
        state = tuple(part.expand(1, len(x), -1).contiguous() for part in (self.h, self.c))
        hidden, _ = self.net.lstm(x, state)
        logit: torch.Tensor = self.net.head(hidden[:, -1]).squeeze(-1)
        return logit


@pytest.mark.parametrize("name", ["bedside", "challenge", "untrained"])
@pytest.mark.parametrize(("hours", "points"), [(1, POINTS), (HOURS, POINTS), (HOURS, MORE_POINTS)])
def test_contributions_are_those_of_captum(name: str, hours: int, points: int) -> None:
    weights = UNTRAINED.weights if name == "untrained" else load_model(name).weights
    h, c, baseline, inputs = drawn(weights, 1, hours)
    network = FromState(weights, h, c)
    x, x0 = (torch.from_numpy(each[None]) for each in (inputs, baseline))
    expected, delta = IntegratedGradients(network).attribute(
        x, x0, n_steps=points, method="gausslegendre", return_convergence_delta=True
    )
    found = Gradients(weights).attribute(h, c, baseline, inputs, points)
    assert np.abs(found.contributions - expected[0].numpy()).max() < 1e-7  # Captum's points are float32
    assert found.delta == pytest.approx(float(delta[0]), abs=1e-6)
    assert found.logit == pytest.approx(float(network(x).detach()[0]), abs=1e-10)
    assert found.baseline_logit == pytest.approx(float(network(x0).detach()[0]), abs=1e-10)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), hours=st.integers(1, HOURS))
def test_contributions_add_up_to_what_they_explain(seed: int, hours: int) -> None:
    weights = BEDSIDE.weights
    found = Gradients(weights).attribute(*drawn(weights, seed, hours))
    assert found.contributions.sum() == pytest.approx(found.logit - found.baseline_logit, abs=1e-3)
    assert found.delta == pytest.approx(found.contributions.sum() - found.logit + found.baseline_logit, abs=1e-12)


def test_too_few_points_show_in_the_delta() -> None:
    weights = BEDSIDE.weights
    deltas = [abs(Gradients(weights).attribute(*drawn(weights, 1), points=points).delta) for points in (1, 4, 64)]
    assert deltas[0] > 100 * deltas[2]
    assert deltas == sorted(deltas, reverse=True)


def test_more_points_are_taken_where_the_delta_calls_for_them() -> None:
    weights, gradients = BEDSIDE.weights, Gradients(BEDSIDE.weights)
    taken = []
    for seed in range(8):
        h, c, baseline, inputs = drawn(weights, seed)
        line = h, c, baseline, (inputs if seed < 4 else -6 * np.sign(baseline))
        few, many, found = (gradients.attribute(*line, points) for points in (POINTS, MORE_POINTS, None))
        expected = few if abs(few.delta) <= 1e-4 else many
        assert found.contributions.tobytes() == expected.contributions.tobytes()
        taken.append(expected is many)
    assert any(taken)
    assert not all(taken)


def test_an_input_that_is_at_its_baseline_contributes_nothing() -> None:
    weights = UNTRAINED.weights
    h, c, baseline, inputs = drawn(weights, 2)
    inputs[:, ::2] = baseline[:, ::2]
    found = Gradients(weights).attribute(h, c, baseline, inputs)
    assert not found.contributions[:, ::2].any()
    assert found.contributions[:, 1::2].all()
    nothing = Gradients(weights).attribute(h, c, baseline, baseline)
    assert not nothing.contributions.any()
    assert nothing.logit == nothing.baseline_logit


def test_the_same_inputs_give_the_same_bytes() -> None:
    def once() -> Attribution:
        return Gradients(UNTRAINED.weights).attribute(*drawn(UNTRAINED.weights, 5))

    assert once().contributions.tobytes() == once().contributions.tobytes()
