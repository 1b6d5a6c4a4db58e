"""Draw the stays of the demonstration from those that no model was trained, stopped or calibrated on.

    python -m models.demo_stays DATA OUT

DATA is the challenge's table (see `cohort.read_cohort`), OUT the Parquet file to write, with the columns the product
uses and nothing else. The draw is fixed by the split's seed and the ids.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl

from models.cohort import read_cohort
from models.split import SPLIT_SEED, split

__all__ = ["COLUMNS", "draw", "main"]

COLUMNS = (
    *("patient_id", "hospital", "HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp"),
    *("Age", "Gender", "Unit1", "Unit2", "HospAdmTime", "ICULOS", "SepsisLabel"),
)
_PER_HOSPITAL = {True: 20, False: 80}  # septic stays, others


def draw(data: Path) -> pl.DataFrame:
    """Return the rows of 200 test stays, 40 of them septic, half from each hospital, in the order of the data."""
    cohort = read_cohort(data)
    test = split(cohort).test
    rng = np.random.default_rng(SPLIT_SEED)
    hospitals = np.array(cohort.hospitals)
    drawn: list[str] = []
    for hospital in sorted(set(cohort.hospitals)):
        for septic, count in _PER_HOSPITAL.items():
            members = np.flatnonzero(test & (hospitals == hospital) & (cohort.septic == septic))
            names = sorted(cohort.patient_ids[stay] for stay in members)
            drawn += rng.choice(names, size=min(count, len(names)), replace=False).tolist()
    return pl.read_parquet(data, columns=list(COLUMNS)).filter(pl.col("patient_id").is_in(drawn)).select(COLUMNS)


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.demo_stays", description="Draw the stays of the demonstration from the test part."
    )
    parser.add_argument("data", metavar="DATA", type=Path, help="the full table, .parquet")
    parser.add_argument("out", metavar="OUT", type=Path, help="file to write")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Write the file and return the exit code."""
    chosen = _arguments(arguments)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    draw(chosen.data).write_parquet(chosen.out, compression="zstd", compression_level=19)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
