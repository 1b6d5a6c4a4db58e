"""The numpy step against torch's LSTM, against the six equations written out, and the exactness of its sums."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.artifact import load_model
from models.features import FEATURE_NAMES, INPUT_BOUND, INPUT_GRID
from models.lstm import WEIGHT_GRID, Lstm, Weights, row_bounds
from models.net import StayNet

TOLERANCE = 1e-6
F64 = NDArray[np.float64]


def random_weights(seed: int, inputs: int, hidden: int, spread: float) -> Weights:
    rng = np.random.default_rng(seed)
    return Weights(
        inputs=rng.uniform(-spread, spread, (4 * hidden, inputs)).astype(np.float32),
        recurrent=rng.uniform(-spread, spread, (4 * hidden, hidden)).astype(np.float32),
        bias=rng.uniform(-spread, spread, 4 * hidden).astype(np.float32),
        head=rng.uniform(-spread, spread, hidden).astype(np.float32),
        head_bias=rng.uniform(-spread, spread, 1).astype(np.float32),
    ).on_grid()


def on_input_grid(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    x = np.clip(rng.normal(0, 1, shape), -INPUT_BOUND, INPUT_BOUND)
    return (np.rint(x / INPUT_GRID) * INPUT_GRID).astype(np.float32)


def by_numpy(weights: Weights, x: NDArray[np.float32]) -> F64:
    lstm = Lstm(weights)
    h = c = np.zeros((len(x), weights.hidden), dtype=np.float32)
    logits = np.zeros(x.shape[:2])
    for step in range(x.shape[1]):
        h, c = lstm.step(x[:, step], h, c)
        logits[:, step] = lstm.logit(h)
    return logits


def by_torch(weights: Weights, x: NDArray[np.float32]) -> F64:
    net = StayNet(weights.inputs.shape[1], weights.hidden).double()
    with torch.no_grad():
        parameters = dict(net.named_parameters())
        parameters["lstm.weight_ih_l0"].copy_(torch.from_numpy(weights.inputs))
        parameters["lstm.weight_hh_l0"].copy_(torch.from_numpy(weights.recurrent))
        parameters["lstm.bias_ih_l0"].copy_(torch.from_numpy(weights.bias))
        parameters["lstm.bias_hh_l0"].zero_()
        parameters["head.weight"].copy_(torch.from_numpy(weights.head[None]))
        parameters["head.bias"].copy_(torch.from_numpy(weights.head_bias))
        logits: F64 = net.eval()(torch.from_numpy(x.astype(np.float64))).numpy()
    return logits


def by_equations(weights: Weights, x: NDArray[np.float32]) -> list[float]:
    """Return the logits of one sequence (T, F), unit by unit, as the paper has them."""
    size = weights.hidden
    h, c = [0.0] * size, [0.0] * size
    logits = []
    for row in x.tolist():
        gate = [
            math.fsum(
                [float(weights.bias[k])]
                + [float(weights.inputs[k, j]) * row[j] for j in range(len(row))]
                + [float(weights.recurrent[k, j]) * h[j] for j in range(size)]
            )
            for k in range(4 * size)
        ]
        i = [1 / (1 + math.exp(-gate[k])) for k in range(size)]
        f = [1 / (1 + math.exp(-gate[size + k])) for k in range(size)]
        g = [math.tanh(gate[2 * size + k]) for k in range(size)]
        o = [1 / (1 + math.exp(-gate[3 * size + k])) for k in range(size)]
        c = [f[k] * c[k] + i[k] * g[k] for k in range(size)]
        h = [o[k] * math.tanh(c[k]) for k in range(size)]
        logits.append(math.fsum([float(weights.head_bias[0])] + [float(weights.head[k]) * h[k] for k in range(size)]))
    return logits


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    inputs=st.integers(1, 40),
    hidden=st.integers(1, 24),
    spread=st.sampled_from([0.05, 0.2, 0.5]),
)
def test_the_step_is_the_lstm_of_torch(seed: int, inputs: int, hidden: int, spread: float) -> None:
    weights = random_weights(seed, inputs, hidden, spread)
    x = on_input_grid(np.random.default_rng(seed), (5, 20, inputs))
    assert np.abs(by_numpy(weights, x) - by_torch(weights, x)).max() < 5 * TOLERANCE * max(1, hidden * spread)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), inputs=st.integers(1, 10), hidden=st.integers(1, 6))
def test_the_step_is_the_six_equations(seed: int, inputs: int, hidden: int) -> None:
    weights = random_weights(seed, inputs, hidden, 0.5)
    x = on_input_grid(np.random.default_rng(seed), (1, 12, inputs))
    assert np.abs(by_numpy(weights, x)[0] - by_equations(weights, x[0])).max() < TOLERANCE


def test_the_shipped_weights_agree_with_torch_and_the_equations() -> None:
    weights = load_model("bedside").weights
    x = on_input_grid(np.random.default_rng(1), (8, 100, len(FEATURE_NAMES)))
    ours = by_numpy(weights, x)
    assert np.abs(ours - by_torch(weights, x)).max() < 5 * TOLERANCE
    assert np.abs(ours[0, :10] - by_equations(weights, x[0, :10])).max() < 5 * TOLERANCE


def one_step_of_torch(weights: Weights, x: NDArray[np.float32], h: F64, c: F64) -> tuple[F64, F64]:
    """Return h' and c' (N, H) of torch.nn.LSTM, in double precision, from one step."""
    lstm = torch.nn.LSTM(weights.inputs.shape[1], weights.hidden, batch_first=True).double()
    with torch.no_grad():
        parameters = dict(lstm.named_parameters())
        parameters["weight_ih_l0"].copy_(torch.from_numpy(weights.inputs))
        parameters["weight_hh_l0"].copy_(torch.from_numpy(weights.recurrent))
        parameters["bias_ih_l0"].copy_(torch.from_numpy(weights.bias))
        parameters["bias_hh_l0"].zero_()
        state = (torch.from_numpy(h)[None], torch.from_numpy(c)[None])
        _, (after_h, after_c) = lstm(torch.from_numpy(x.astype(np.float64))[:, None], state)
    return after_h[0].numpy(), after_c[0].numpy()


def one_step_of_the_equations(weights: Weights, x: NDArray[np.float32], h: F64, c: F64) -> tuple[F64, F64]:
    """Return h' and c' by the six equations of Gers, Schmidhuber and Cummins (Neural Computation 12:2451, 2000)."""
    w_i, w_f, w_g, w_o = np.split(weights.inputs.astype(np.float64), 4)
    u_i, u_f, u_g, u_o = np.split(weights.recurrent.astype(np.float64), 4)
    b_i, b_f, b_g, b_o = np.split(weights.bias.astype(np.float64), 4)

    def sigmoid(z: F64) -> F64:
        return 1 / (1 + np.exp(-z))

    forget = sigmoid(x @ w_f.T + h @ u_f.T + b_f)
    entry = sigmoid(x @ w_i.T + h @ u_i.T + b_i)
    candidate = np.tanh(x @ w_g.T + h @ u_g.T + b_g)
    cell = forget * c + entry * candidate
    output = sigmoid(x @ w_o.T + h @ u_o.T + b_o)
    hidden = output * np.tanh(cell)
    return hidden, cell


@pytest.mark.parametrize("trained", [True, False])
def test_each_step_agrees_with_torch_and_with_the_six_equations_to_a_millionth(trained: bool) -> None:
    weights = load_model("bedside").weights if trained else random_weights(5, len(FEATURE_NAMES), 64, 0.125)
    lstm = Lstm(weights)
    x = on_input_grid(np.random.default_rng(2), (50, 60, len(FEATURE_NAMES)))
    h = c = np.zeros((50, weights.hidden), dtype=np.float32)
    for step in range(60):
        before = (h.astype(np.float64), c.astype(np.float64))
        h, c = lstm.step(x[:, step], h, c)
        for oracle in (one_step_of_torch, one_step_of_the_equations):
            expected_h, expected_c = oracle(weights, x[:, step], *before)
            assert np.abs(h - expected_h).max() < TOLERANCE
            assert np.abs(c - expected_c).max() < TOLERANCE


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_summing_cannot_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = random_weights(seed, 60, 16, 0.9)
    x = on_input_grid(rng, (1, 60)).astype(np.float64)
    values = [Fraction(value) for value in x[0].tolist()]
    rows = weights.inputs.astype(np.float64).tolist()
    exact = [sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(0)) for row in rows]
    order = rng.permutation(60)
    shuffled = x[:, order] @ weights.inputs.astype(np.float64)[:, order].T
    assert [Fraction(v) for v in shuffled[0].tolist()] == exact


def test_extreme_inputs_stay_finite() -> None:
    weights = random_weights(3, 30, 8, 2.0)
    x = np.full((2, 50, 30), INPUT_BOUND, dtype=np.float32)
    x[1] *= -1
    assert np.isfinite(by_numpy(weights, x)).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: w["inputs"].__setitem__((0, 0), WEIGHT_GRID / 2), "not on the grid"),
        (lambda w: w["bias"].__setitem__(1, np.nan), "not numbers"),
        (lambda w: w["head"].__setitem__(0, 8.0), "8 or more"),
        (lambda w: w["inputs"].__setitem__((0, slice(None)), 2.0), "too large"),
    ],
)
def test_weights_whose_sums_would_round_are_refused(change: object, reason: str) -> None:
    weights = random_weights(0, 60, 8, 0.3)
    assert weights.check() is None
    tensors = {name: tensor.copy() for name, tensor in weights.tensors().items()}
    assert callable(change)
    change(tensors)
    assert reason in str(Weights(**tensors).check())


def test_training_keeps_the_weights_within_exact_sums() -> None:
    torch.manual_seed(0)
    net = StayNet(len(FEATURE_NAMES), 16)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(200)
    net.limit()
    weights = net.weights().on_grid()
    assert weights.check() is None
    assert row_bounds(weights.inputs, weights.recurrent, weights.bias).max() < 512
