"""Which stays train the model, stop its training, calibrate it, and test it: decided once, by a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort, CohortError

__all__ = ["SPLIT_SEED", "Split", "split"]

SPLIT_SEED = 20261122
_SHARES = {"train": 0.80, "validation": 0.08, "calibration": 0.04}  # the rest is for the test


@dataclass(frozen=True)
class Split:
    """Four disjoint parts of a cohort's stays (S each); every stay is in one."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]  # stops the training, and chooses thresholds together with `calibration`
    calibration: NDArray[np.bool_]
    test: NDArray[np.bool_]  # never looked at before the figures are reported
    digest: str  # of the ids in each part

    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """Return the parts by name."""
        return {"train": self.train, "validation": self.validation, "calibration": self.calibration, "test": self.test}

    def refit(self, cohort: Cohort, shown: frozenset[str]) -> Split:
        """Return the split with the test stays moved to the training, but those with an id in `shown`.

        For the model that is shipped, when the figures of its recipe have been measured. Raises CohortError where a
        stay of `shown` is not a test stay.
        """
        ids = np.array(cohort.patient_ids)
        test = self.test & np.isin(ids, sorted(shown))
        if int(test.sum()) != len(shown):
            msg = f"{len(shown) - int(test.sum())} of {len(shown)} stays to be kept out are not among the test stays."
            raise CohortError(msg)
        train = self.train | (self.test & ~test)
        part = np.select([train, self.validation, self.calibration], [0, 1, 2], default=3)
        return Split(train, self.validation, self.calibration, test, digest=_digest(ids, part))


def split(cohort: Cohort, seed: int = SPLIT_SEED) -> Split:
    """Return the split of a cohort: by stay, at random, in each stratum of hospital and septic or not.

    Depends on the ids, hospitals, labels and the seed alone, not on the order of the stays. Raises CohortError where
    the cohort has no labels.
    """
    rng = np.random.default_rng(seed)
    ids = np.array(cohort.patient_ids)
    stratum = np.array([f"{name}{int(septic)}" for name, septic in zip(cohort.hospitals, cohort.septic, strict=True)])
    part = np.full(len(ids), len(_SHARES), dtype=np.int64)
    for each in sorted(set(stratum.tolist())):
        members = np.flatnonzero(stratum == each)
        members = members[np.argsort(ids[members])]
        shuffled = rng.permutation(members)
        cuts = np.rint(np.cumsum(list(_SHARES.values())) * len(members)).astype(np.int64)
        for number, chosen in enumerate(np.split(shuffled, cuts)):
            part[chosen] = number
    train, validation, calibration, test = (part == number for number in range(len(_SHARES) + 1))
    return Split(train, validation, calibration, test, digest=_digest(ids, part))


def _digest(ids: NDArray[np.str_], part: NDArray[np.int64]) -> str:
    lines = sorted(f"{name}\t{number}\n" for name, number in zip(ids.tolist(), part.tolist(), strict=True))
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()
