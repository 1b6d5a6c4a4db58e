"""The demonstration's stays are real, small, and none the shipped model has learned from."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import polars as pl
import pytest

from models.artifact import load_model
from models.cohort import read_cohort
from models.demo_stays import COLUMNS, main
from models.release import TEST_STAYS_FILE
from tests.models.usage import check_usage_is_said

DEMO = Path(str(resources.files("monitor"))) / "data" / "demo-stays.parquet"
SHIPPED = Path(str(resources.files("models"))) / "artifacts" / "bedside"


def test_no_demo_stay_was_used_to_train_stop_or_calibrate_the_shipped_model() -> None:
    listed = (SHIPPED / TEST_STAYS_FILE).read_bytes()
    assert hashlib.sha256(listed).hexdigest() == load_model("bedside").manifest.training["test_stays_sha256"]
    never_seen = set(listed.decode().split())
    assert len(never_seen) == load_model("bedside").manifest.training["stays"]["test"]
    assert set(read_cohort(DEMO).patient_ids) <= never_seen


def test_the_demo_has_both_hospitals_and_both_outcomes() -> None:
    cohort = read_cohort(DEMO)
    assert cohort.n_stays == 200
    for hospital in "AB":
        here = [name == hospital for name in cohort.hospitals]
        assert sum(here) == 100
        assert cohort.septic[here].sum() == 20


def test_the_file_is_small_and_holds_only_what_is_used() -> None:
    assert DEMO.stat().st_size < 1_000_000
    assert tuple(pl.read_parquet_schema(DEMO)) == COLUMNS
    assert "CC BY 4.0" in (DEMO.parent / "ATTRIBUTION.md").read_text(encoding="utf-8")


def test_the_draw_is_repeatable(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert main([str(DEMO), str(tmp_path / name)]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    drawn = set(read_cohort(tmp_path / "one").patient_ids)
    assert drawn < set(read_cohort(DEMO).patient_ids)  # the test part of these stays


def test_wrong_usage_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    check_usage_is_said(main, "DATA OUT", capsys)
