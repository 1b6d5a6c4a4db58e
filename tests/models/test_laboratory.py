"""Laboratory values for the teacher: read in the cohort's order, carried forward within a stay only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.cohort import CohortError, read_cohort
from models.laboratory import COLUMNS, Laboratory, read_laboratory
from tests.models.stays import made_up_cohort

LACTATE, PH = COLUMNS.index("Lactate"), COLUMNS.index("pH")


def test_values_stand_in_the_order_of_the_cohort(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "patient_id": ["b", "b", "a"],
            "ICULOS": [1.0, 2.0, 1.0],
            **{name: [80.0, 81.0, 82.0] for name in ("HR", "Resp", "Temp")},
            "Lactate": [None, 2.5, float("nan")],
        }
    )
    table.write_parquet(tmp_path / "stays.parquet")
    laboratory = read_laboratory(tmp_path / "stays.parquet")
    assert laboratory is not None
    assert laboratory.values.shape == (read_cohort(tmp_path / "stays.parquet").n_rows, len(COLUMNS))
    assert np.array_equal(laboratory.values[:, LACTATE], [np.nan, 2.5, np.nan], equal_nan=True)
    table.drop("Lactate").write_parquet(tmp_path / "none.parquet")
    assert read_laboratory(tmp_path / "none.parquet") is None
    table.with_columns(Lactate=pl.lit("high")).write_parquet(tmp_path / "text.parquet")
    with pytest.raises(CohortError, match="column Lactate"):
        read_laboratory(tmp_path / "text.parquet")


def test_features_carry_the_last_value_forward_within_its_stay() -> None:
    cohort = replace(
        made_up_cohort(0, stays=2, longest=3),
        offsets=np.array([0, 4, 7]),
        steps=np.array([0, 1, 2, 3, 0, 1, 2], dtype=np.int32),
    )
    values = np.full((7, len(COLUMNS)), np.nan, dtype=np.float32)
    values[1, PH], values[5, PH] = 7.2, 7.4
    x = Laboratory(values).features(cohort)
    assert x.shape == (7, 2 * len(COLUMNS))
    assert x[:, PH].tolist() == pytest.approx([0, -1, -1, -1, 0, 1, 1], abs=1e-3)
    recency = [
        0,
        1,
        1 - np.log1p(1) / np.log1p(48),
        1 - np.log1p(2) / np.log1p(48),
        0,
        1,
        1 - np.log1p(1) / np.log1p(48),
    ]
    assert x[:, len(COLUMNS) + PH].tolist() == pytest.approx(recency, abs=1e-6)
    assert not np.delete(x, [PH, len(COLUMNS) + PH], axis=1).any()
