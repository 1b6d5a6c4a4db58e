"""The mutants themselves: that each takes away what its name says, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.lstm import Lstm
from tests.chaos.honest import honest_run
from tests.chaos.judge import Verdict, judge
from tests.chaos.mutants import judged_alike, rough_step
from tests.chaos.oracle import Oracle, default_core
from tests.e2e.ward import PARTITIONS


def _judged_alike() -> Verdict:
    """Judge a run by a reference that computes as its workers do, in passes of another length."""
    run = honest_run()
    return judge(run, Oracle(default_core(PARTITIONS)).run(run.log))


def _row_by_row(rows: Any, weights: Any) -> Any:
    return np.stack([row @ weights for row in rows])


def test_a_product_in_float32_is_found_by_its_dependence_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lstm, "step", rough_step(np.matmul))
    assert _judged_alike().found["state-regress"]


def test_the_same_product_row_by_row_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lstm, "step", rough_step(_row_by_row))
    verdict = _judged_alike()
    assert verdict.clean, verdict.found


def test_the_judge_computes_as_the_mutant_does_for_one_pass_alone() -> None:
    exact = Lstm.step
    with judged_alike("batch-dependent"):
        assert Lstm.step is not exact
    assert Lstm.step is exact
    with judged_alike("no-guard"):
        assert Lstm.step is exact
