"""Stays read from files in the columns of the PhysioNet/CinC Challenge 2019, as arrays.

A file is a table with one row an hour: `patient_id`, `ICULOS` (hours since the stay's start, from 1), the vital signs
by their challenge names, and what is known at admission. Missing values are nulls or NaN. Nothing is imputed, scaled
or refused here: implausible values are the scorer's to drop, so that files and streams are cleaned by the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.vital_signs import VITAL_SIGNS, usable

__all__ = ["Cohort", "CohortError", "read_cohort", "read_columns"]

_REQUIRED = ("patient_id", "ICULOS", "HR", "Resp", "Temp")  # the three vital signs that every deployment has
_OPTIONAL = ("O2Sat", "SBP", "DBP", "MAP", "Age", "Gender", "Unit1", "Unit2", "HospAdmTime", "SepsisLabel")
_MAX_STEP = 100_000  # hours: eleven years; a longer stay is a wrong column, not a patient
_MAX_GAP = 24 * 366  # hours without a row inside one stay; each is a step the model computes


class CohortError(ValueError):
    """A file cannot be read as stays: the message names the file, the column and what to do."""


@dataclass(frozen=True)
class Cohort:
    """S stays with R hourly rows in all; the rows of stay i are offsets[i] to offsets[i + 1], in time order."""

    patient_ids: tuple[str, ...]  # (S)
    hospitals: tuple[str, ...]  # (S); "" where the file does not say
    offsets: NDArray[np.int64]  # (S + 1)
    values: NDArray[np.float32]  # (R, 7) vital signs as recorded, NaN where missing
    steps: NDArray[np.int32]  # (R) hours since the stay's start, from 0
    labels: NDArray[np.uint8] | None  # (R) 1 from six hours before onset on; None where the file has no labels
    age_years: NDArray[np.float32]  # (S) NaN where unknown
    sex: NDArray[np.float32]  # (S) 0 female, 1 male, NaN unknown
    hospital_hours: NDArray[np.float32]  # (S) hours from hospital admission to the stay's start, NaN unknown
    unit_type: NDArray[np.int8]  # (S) 0 unknown, 1 medical, 2 surgical

    @property
    def n_stays(self) -> int:
        """Number of stays."""
        return len(self.patient_ids)

    @property
    def n_rows(self) -> int:
        """Number of hourly rows."""
        return len(self.steps)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each stay (S)."""
        return np.diff(self.offsets)

    @property
    def stay_of_row(self) -> NDArray[np.int64]:
        """Index of the stay of each row (R)."""
        return np.repeat(np.arange(self.n_stays), self.lengths)

    @property
    def known_labels(self) -> NDArray[np.uint8]:
        """The labels (R); CohortError where the file had none."""
        if self.labels is None:
            msg = "The file has no SepsisLabel column: it can be scored, but not trained on or evaluated."
            raise CohortError(msg)
        return self.labels

    @property
    def septic(self) -> NDArray[np.bool_]:
        """Which stays have a positive label (S); CohortError where the file had no labels."""
        labels = self.known_labels
        if self.n_stays == 0:
            return np.zeros(0, dtype=np.bool_)
        return np.maximum.reduceat(labels, self.offsets[:-1]).astype(np.bool_)

    def check_learnable(self, *, every_sign: bool = False) -> None:
        """Raise CohortError where there are no labels, or no values to judge by or, with `every_sign`, to learn from.

        Judging needs a plausible value of some vital sign, learning of every one.
        """
        _ = self.known_labels
        counts = np.isfinite(usable(self.values)).sum(axis=0).tolist()
        missing = [sign for sign, count in zip(VITAL_SIGNS, counts, strict=True) if not count]
        if not missing or (not every_sign and len(missing) < len(VITAL_SIGNS)):
            return
        columns = ", ".join(f"{sign.challenge_column} ({sign.low:g} to {sign.high:g})" for sign in missing)
        msg = f"The stays have no plausible value of {columns}: check these columns and their units."
        raise CohortError(msg)

    def take(self, stays: NDArray[np.integer[Any]]) -> Cohort:
        """Return the stays of these indices, in their order; one that is named twice is there twice, under one id."""
        lengths = self.lengths[stays]
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][stays] - offsets[:-1], lengths)
        return Cohort(
            patient_ids=tuple(self.patient_ids[stay] for stay in stays.tolist()),
            hospitals=tuple(self.hospitals[stay] for stay in stays.tolist()),
            offsets=offsets,
            values=self.values[rows],
            steps=self.steps[rows],
            labels=None if self.labels is None else self.labels[rows],
            age_years=self.age_years[stays],
            sex=self.sex[stays],
            hospital_hours=self.hospital_hours[stays],
            unit_type=self.unit_type[stays],
        )

    def select(self, keep: NDArray[np.bool_]) -> Cohort:
        """Return the stays where `keep` (S) is true, in the same order."""
        return self.take(np.flatnonzero(keep))

    def with_rows(self, keep: NDArray[np.bool_]) -> Cohort:
        """Return every stay with those of its rows alone where `keep` (R) is true; it may be left with none."""
        return replace(
            self,
            offsets=np.concatenate(([0], np.cumsum(keep)))[self.offsets].astype(np.int64),
            values=self.values[keep],
            steps=self.steps[keep],
            labels=None if self.labels is None else self.labels[keep],
        )

    def followed_by(self, other: Cohort) -> Cohort:
        """Return these stays and those of another cohort behind them, both labelled."""
        return Cohort(
            patient_ids=self.patient_ids + other.patient_ids,
            hospitals=self.hospitals + other.hospitals,
            offsets=np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            values=np.concatenate([self.values, other.values]),
            steps=np.concatenate([self.steps, other.steps]),
            labels=np.concatenate([self.known_labels, other.known_labels]),
            age_years=np.concatenate([self.age_years, other.age_years]),
            sex=np.concatenate([self.sex, other.sex]),
            hospital_hours=np.concatenate([self.hospital_hours, other.hospital_hours]),
            unit_type=np.concatenate([self.unit_type, other.unit_type]),
        )


def read_cohort(path: Path) -> Cohort:
    """Read a .parquet file, or a folder of the challenge's .psv files (one a stay), in the order they stand.

    Raises CohortError where the file is not such a table: a missing column, a value that is not a number, rows of a
    stay that are apart or out of order.
    """
    table = _read_table(path, (*_REQUIRED, *_OPTIONAL, "hospital"))
    missing = [name for name in _REQUIRED if name not in table.columns]
    if missing:
        msg = f"{path}: no column {', '.join(missing)}; needed are {', '.join(_REQUIRED)}, in the challenge's names."
        raise CohortError(msg)
    if table.is_empty():
        msg = f"{path}: the table has no rows."
        raise CohortError(msg)
    return _from_table(path, table)


def read_columns(path: Path, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return other columns of the same file (R, names), rows as `read_cohort` has them; NaN where one is missing.

    Raises CohortError as `read_cohort` does.
    """
    table = _read_table(path, ("patient_id", *names))
    return np.stack([_numbers(path, table, name) for name in names], axis=1)


def _read_table(path: Path, names: tuple[str, ...]) -> pl.DataFrame:
    return _read_folder(path) if path.is_dir() else _read_parquet(path, names)


def _read_parquet(path: Path, names: tuple[str, ...]) -> pl.DataFrame:
    try:
        present = pl.read_parquet_schema(path)
        return pl.read_parquet(path, columns=[name for name in names if name in present])
    except FileNotFoundError as error:
        msg = f"{path}: no such file."
        raise CohortError(msg) from error
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{path}: not a readable Parquet file ({_first_line(error)})."
        raise CohortError(msg) from error


def _read_folder(folder: Path) -> pl.DataFrame:
    files = sorted(folder.glob("*.psv"))
    if not files:
        msg = f"{folder}: a folder without .psv files; give a .parquet file, or a folder of the challenge's .psv files."
        raise CohortError(msg)
    tables = []
    for file in files:
        try:
            table = pl.read_csv(file, separator="|", infer_schema=False, null_values=["NaN", ""])
        except (pl.exceptions.PolarsError, OSError) as error:
            msg = f"{file}: not a table separated by | ({_first_line(error)})."
            raise CohortError(msg) from error
        # The challenge numbers its files by hospital: p0... is A, p1... is B.
        hospital = {"p0": "A", "p1": "B"}.get(file.stem[:2], "")
        tables.append(table.with_columns(patient_id=pl.lit(file.stem), hospital=pl.lit(hospital)))
    return pl.concat(tables, how="diagonal")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _from_table(path: Path, table: pl.DataFrame) -> Cohort:
    ids = table["patient_id"].cast(pl.String)
    if ids.null_count():
        msg = f"{path}: {ids.null_count()} rows have no patient_id; give every row its stay."
        raise CohortError(msg)
    starts = np.flatnonzero(np.concatenate(([True], (ids != ids.shift(1)).to_numpy()[1:]))).astype(np.int64)
    patient_ids = tuple(ids.gather(starts).to_list())
    if len(set(patient_ids)) != len(patient_ids):
        msg = f"{path}: the rows of a stay are not together; sort the table by patient_id and ICULOS."
        raise CohortError(msg)
    offsets = np.append(starts, len(ids)).astype(np.int64)
    unit_1 = _first_known(_numbers(path, table, "Unit1"), starts)
    unit_2 = _first_known(_numbers(path, table, "Unit2"), starts)
    hospitals = table["hospital"].cast(pl.String).fill_null("") if "hospital" in table.columns else None
    columns = [_numbers(path, table, sign.challenge_column) for sign in VITAL_SIGNS]
    return Cohort(
        patient_ids=patient_ids,
        hospitals=("",) * len(starts) if hospitals is None else tuple(hospitals.gather(starts).to_list()),
        offsets=offsets,
        values=np.stack(columns, axis=1),
        steps=_steps(path, table, offsets),
        labels=_labels(path, table),
        age_years=_first_known(_numbers(path, table, "Age"), starts),
        sex=_first_known(_numbers(path, table, "Gender"), starts),
        hospital_hours=-_first_known(_numbers(path, table, "HospAdmTime"), starts),
        unit_type=np.where(unit_1 == 1, 1, np.where(unit_2 == 1, 2, 0)).astype(np.int8),
    )


def _numbers(path: Path, table: pl.DataFrame, column: str) -> NDArray[np.float32]:
    """Return a column as float32 with NaN for what is missing; all NaN where the table has no such column."""
    if column not in table.columns:
        return np.full(len(table), np.nan, dtype=np.float32)
    try:
        numbers = table[column].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    except pl.exceptions.PolarsError as error:
        msg = f"{path}: column {column} holds something that is not a number ({_first_line(error)})."
        raise CohortError(msg) from error
    return np.ascontiguousarray(numbers, dtype=np.float32)


def _first_known(numbers: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the first known value of each stay: what holds for the whole stay is repeated in every row."""
    if np.array_equal(np.isnan(numbers[starts]), np.isnan(np.fmax.reduceat(numbers, starts))):
        return numbers[starts]
    rows = np.where(np.isnan(numbers), len(numbers), np.arange(len(numbers)))
    return np.append(numbers, np.float32(np.nan))[np.minimum.reduceat(rows, starts)]


def _steps(path: Path, table: pl.DataFrame, offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    hours = _numbers(path, table, "ICULOS").astype(np.float64)
    wrong = ~((hours >= 1) & (hours <= _MAX_STEP) & (hours == np.floor(hours)))
    if wrong.any():
        msg = f"{path}: column ICULOS must hold whole hours from 1 to {_MAX_STEP}; row {int(wrong.argmax())} does not."
        raise CohortError(msg)
    steps = hours.astype(np.int32) - np.int32(1)
    inside = np.ones(len(steps), dtype=np.bool_)
    inside[offsets[:-1]] = False
    apart = np.diff(steps, prepend=0)
    wrong = inside & ((apart < 1) | (apart > _MAX_GAP))
    if wrong.any():
        row = int(wrong.argmax())
        msg = (
            f"{path}: column ICULOS must rise within a stay, by at most {_MAX_GAP} hours a row; "
            f"from row {row - 1} to row {row} it changes by {int(apart[row])}."
        )
        raise CohortError(msg)
    return steps


def _labels(path: Path, table: pl.DataFrame) -> NDArray[np.uint8] | None:
    if "SepsisLabel" not in table.columns:
        return None
    numbers = _numbers(path, table, "SepsisLabel")
    wrong = ~((numbers == 0) | (numbers == 1))
    if wrong.any():
        msg = f"{path}: column SepsisLabel must hold 0 or 1; row {int(wrong.argmax())} does not."
        raise CohortError(msg)
    return numbers.astype(np.uint8)
