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
    """Disjoint parts of a cohort's stays (S each); every stay is in one."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]  # stops the training, and chooses thresholds together with `calibration`
    calibration: NDArray[np.bool_]
    test: NDArray[np.bool_]  # never looked at before the figures are reported
    elsewhere: NDArray[np.bool_]  # of other hospitals than the one learned from: for figures, too; else nobody
    digest: str  # of the ids in each part

    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """Return the parts by name; `elsewhere` only where it has any."""
        parts = {"train": self.train, "validation": self.validation, "calibration": self.calibration, "test": self.test}
        return parts | {"elsewhere": self.elsewhere} if self.elsewhere.any() else parts

    @property
    def unseen(self) -> NDArray[np.bool_]:
        """The stays (S) that a model of this split has not seen in any way."""
        return self.test | self.elsewhere

    def within(self, cohort: Cohort, hospital: str) -> Split:
        """Return the split for a model of one hospital: the same parts of its stays, all others `elsewhere`.

        Raises CohortError where the cohort has no stay of it, or none of another.
        """
        here = np.array(cohort.hospitals) == hospital
        if here.all() or not here.any():
            known = ", ".join(sorted(set(cohort.hospitals))) or "none"
            msg = f"A model of hospital {hospital} needs stays of it and of others; the file's hospitals: {known}."
            raise CohortError(msg)
        ids, parts = np.array(cohort.patient_ids), (self.train, self.validation, self.calibration, self.test)
        train, validation, calibration, test = (part & here for part in parts)
        part = np.select([train, validation, calibration, test], [0, 1, 2, 3], default=4)
        return Split(train, validation, calibration, test, ~here, digest=_digest(ids, part))

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
        return Split(train, self.validation, self.calibration, test, self.elsewhere, digest=_digest(ids, part))


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
    nobody = np.zeros(len(ids), dtype=np.bool_)
    return Split(train, validation, calibration, test, nobody, digest=_digest(ids, part))


def _digest(ids: NDArray[np.str_], part: NDArray[np.int64]) -> str:
    lines = sorted(f"{name}\t{number}\n" for name, number in zip(ids.tolist(), part.tolist(), strict=True))
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()
