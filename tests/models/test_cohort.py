"""Stays read from Parquet files and from folders of .psv files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.cohort import CohortError, read_cohort
from models.vital_signs import HEART_RATE, OXYGEN_SATURATION, TEMPERATURE


def table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "patient_id": ["b", "b", "a", "a", "a"],
            "hospital": ["B", "B", "A", "A", "A"],
            "HR": [80.0, None, 90.0, float("nan"), 500.0],
            "Resp": [16.0, 17.0, None, None, 20.0],
            "Temp": [None, 37.5, None, None, 38.0],
            "Age": [None, 50.0, 60.0, 60.0, 60.0],
            "Gender": [1.0, 1.0, 0.0, 0.0, 0.0],
            "Unit1": [0.0, 0.0, None, None, None],
            "Unit2": [1.0, 1.0, None, None, None],
            "HospAdmTime": [-5.5, -5.5, 2.0, 2.0, 2.0],
            "ICULOS": [3.0, 4.0, 1.0, 2.0, 5.0],
            "SepsisLabel": [0.0, 0.0, 0.0, 1.0, 1.0],
        }
    )


def written(folder: Path, frame: pl.DataFrame) -> Path:
    path = folder / "stays.parquet"
    frame.write_parquet(path)
    return path


def test_stays_keep_their_order_and_their_rows(tmp_path: Path) -> None:
    cohort = read_cohort(written(tmp_path, table()))
    assert cohort.patient_ids == ("b", "a")
    assert cohort.hospitals == ("B", "A")
    assert cohort.offsets.tolist() == [0, 2, 5]
    assert cohort.steps.tolist() == [2, 3, 0, 1, 4]
    assert cohort.labels is not None
    assert cohort.labels.tolist() == [0, 0, 0, 1, 1]
    assert cohort.septic.tolist() == [False, True]


def test_null_and_nan_are_both_missing_and_nothing_is_cleaned(tmp_path: Path) -> None:
    cohort = read_cohort(written(tmp_path, table()))
    assert np.array_equal(cohort.values[:, HEART_RATE], np.array([80, np.nan, 90, np.nan, 500]), equal_nan=True)
    assert np.isnan(cohort.values[:, OXYGEN_SATURATION]).all()
    assert cohort.values.dtype == np.float32


def test_details_of_the_stay(tmp_path: Path) -> None:
    cohort = read_cohort(written(tmp_path, table()))
    assert cohort.age_years.tolist() == [50.0, 60.0]  # the first known one
    assert cohort.sex.tolist() == [1.0, 0.0]
    assert cohort.hospital_hours.tolist() == [5.5, -2.0]
    assert cohort.unit_type.tolist() == [2, 0]


def test_select_keeps_whole_stays(tmp_path: Path) -> None:
    cohort = read_cohort(written(tmp_path, table()))
    one = cohort.select(np.array([False, True]))
    assert one.patient_ids == ("a",)
    assert one.offsets.tolist() == [0, 3]
    assert one.steps.tolist() == [0, 1, 4]
    assert one.values[2, TEMPERATURE] == 38.0
    assert cohort.select(np.zeros(2, dtype=np.bool_)).n_rows == 0


def test_a_file_without_labels_or_details_can_be_read(tmp_path: Path) -> None:
    cohort = read_cohort(written(tmp_path, table().select("patient_id", "ICULOS", "HR", "Resp", "Temp")))
    assert cohort.labels is None
    assert np.isnan(cohort.age_years).all()
    assert np.isnan(cohort.hospital_hours).all()
    assert cohort.unit_type.tolist() == [0, 0]
    with pytest.raises(CohortError, match="no SepsisLabel"):
        _ = cohort.septic


def test_a_folder_of_psv_files_reads_as_the_same_stays(tmp_path: Path) -> None:
    frame = table()
    for name, patient in (("p000001", "a"), ("p100002", "b")):
        part = frame.filter(pl.col("patient_id") == patient).drop("patient_id", "hospital")
        part.fill_null(float("nan")).write_csv(tmp_path / f"{name}.psv", separator="|")
    cohort = read_cohort(tmp_path)
    assert cohort.patient_ids == ("p000001", "p100002")
    assert cohort.hospitals == ("A", "B")
    reference = read_cohort(written(tmp_path, frame))
    assert np.array_equal(cohort.values[:3], reference.values[2:], equal_nan=True)
    assert np.array_equal(cohort.values[3:], reference.values[:2], equal_nan=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("HR").alias("heart"), "no column Temp"),
        (pl.Series("ICULOS", [3.0, 3.0, 1.0, 2.0, 5.0]), "ICULOS must rise"),
        (pl.Series("ICULOS", [3.5, 4.0, 1.0, 2.0, 5.0]), "whole hours"),
        (pl.Series("ICULOS", [None, 4.0, 1.0, 2.0, 5.0]), "whole hours"),
        (pl.Series("ICULOS", [3.0, 4.0, 1.0, 2.0, 50000.0]), "at most 8784 hours"),
        (pl.Series("SepsisLabel", [0.0, 0.5, 0.0, 1.0, 1.0]), "SepsisLabel must hold 0 or 1"),
        (pl.Series("patient_id", ["b", "a", "b", "a", "a"]), "not together"),
        (pl.Series("patient_id", ["b", None, "a", "a", "a"]), "no patient_id"),
        (pl.Series("HR", ["80", "x", "90", "9", "9"]), "column HR holds something"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: pl.Expr | pl.Series, message: str) -> None:
    frame = table().with_columns(change)
    if "no column" in message:
        frame = frame.drop("Temp")
    with pytest.raises(CohortError, match=message):
        read_cohort(written(tmp_path, frame))


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no such file"):
        read_cohort(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("HR|Temp")
    with pytest.raises(CohortError, match="not a readable Parquet file"):
        read_cohort(tmp_path / "text.parquet")
    with pytest.raises(CohortError, match="a folder without"):
        read_cohort(tmp_path)


def test_stays_are_taken_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    cohort = read_cohort(written(tmp_path, table()))
    taken = cohort.take(np.array([1, 0, 1]))
    assert taken.patient_ids == ("a", "b", "a")
    assert taken.hospitals == ("A", "B", "A")
    assert taken.offsets.tolist() == [0, 3, 5, 8]
    assert taken.steps.tolist() == [0, 1, 4, 2, 3, 0, 1, 4]
    assert taken.known_labels.tolist() == [0, 1, 1, 0, 0, 0, 1, 1]
    assert taken.age_years.tolist() == [60.0, 50.0, 60.0]
    assert np.array_equal(taken.values[3:5], cohort.values[:2], equal_nan=True)
    assert cohort.take(np.array([], dtype=np.int64)).offsets.tolist() == [0]


def test_rows_are_taken_away_and_stays_stay(tmp_path: Path) -> None:
    cohort = read_cohort(written(tmp_path, table()))
    left = cohort.with_rows(cohort.steps < 2)
    assert left.patient_ids == cohort.patient_ids
    assert left.offsets.tolist() == [0, 0, 2]
    assert left.steps.tolist() == [0, 1]
    assert left.known_labels.tolist() == [0, 1]
    assert np.array_equal(left.values, cohort.values[2:4], equal_nan=True)
