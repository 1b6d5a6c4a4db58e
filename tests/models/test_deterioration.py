"""Deteriorations: they are what they are called, and the shipped model's waits are those that the account has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.artifact import load_model
from models.deterioration import COURSES, Course, hours_to_alert, main, worsening_cohort
from models.vital_signs import N_VITAL_SIGNS, usable

ACCOUNT = Path(__file__).parents[2] / "docs" / "model-development.md"


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.name)
def test_only_what_gets_worse_changes(course: Course) -> None:
    cohort = worsening_cohort(course)
    assert np.array_equal(usable(cohort.values), cohort.values)
    values = cohort.values.reshape(cohort.n_stays, -1, N_VITAL_SIGNS).mean(axis=0)
    change = values[-6:].mean(axis=0) - values[:24].mean(axis=0)
    assert change[:6] == pytest.approx(8 * np.array(course.an_hour), abs=2)


def test_nobody_is_alerted_where_nothing_changes() -> None:
    found = hours_to_alert(load_model("bedside"), Course("nothing", (0, 0, 0, 0, 0, 0)))
    assert set(found.hours) == {None}


def test_the_accounts_table_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    account = ACCOUNT.read_text()
    assert len(rows) == len(COURSES)
    assert [row for row in rows if row not in account] == []


def test_a_model_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-model"]) == 1
    assert "no-such-model" in capsys.readouterr().err


def test_help_is_not_taken_for_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "[MODEL ...]" in capsys.readouterr().out
