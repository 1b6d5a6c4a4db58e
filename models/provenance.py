"""What can be known of whether a model was trained on the stays of a file.

A manifest has digests, not ids: of the training file, of its split, and of the list of test stays that lies beside the
model. So the very file is recognised; stays of the list are known to be unseen; of others it can only be suspected.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.cohort import Cohort, CohortError
from models.manifest import Manifest
from models.release import TEST_STAYS_FILE
from models.split import split

__all__ = ["Provenance", "provenance", "read_stays"]


@dataclass(frozen=True)
class Provenance:
    """How many of a cohort's stays the model has seen (trained, stopped or calibrated on), as far as it can be told."""

    unseen: int  # certainly
    seen: int  # certainly
    unknown: int
    warning: str = ""  # for people; empty where nothing speaks against the figures
    test_stays: Path | None = None  # the list of the model's own unseen stays, where one lies beside it

    def counts(self) -> dict[str, int | str]:
        """Return what a report says of it."""
        return {"unseen": self.unseen, "seen": self.seen, "unknown": self.unknown, "warning": self.warning}


def read_stays(path: Path) -> frozenset[str]:
    """Return the patient ids of a file, one a line; raises OSError or UnicodeDecodeError."""
    return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines()) - {""}


def provenance(manifest: Manifest, folder: Path, whole: Cohort, evaluated: NDArray[np.bool_]) -> Provenance:
    """Return what is known of the evaluated stays (S, mask) of a whole file's cohort."""
    known = _test_stays(manifest, folder)
    listed = np.array([name in known.ids for name in whole.patient_ids], dtype=np.bool_)
    unseen, others = int((listed & evaluated).sum()), int((~listed & evaluated).sum())
    advice = f" Its own unseen stays are listed in {known.path}: give --stays {known.path}." if known.path else ""
    share = f"{others} of {unseen + others} stays"
    if not others:
        return Provenance(unseen, 0, 0, "", known.path)
    if _is_training_file(manifest, whole, known.ids):
        warning = f"{share} were used to train, stop or calibrate this model: the figures flatter it.{advice}"
        return Provenance(unseen, others, 0, warning, known.path)
    if listed.any():
        warning = (
            f"{share} are not on the model's list of unseen stays, though the file shares stays with its training "
            f"data: it was probably trained on them, and the figures flatter it.{advice}"
        )
        return Provenance(unseen, 0, others, warning, known.path)
    warning = (
        "Whether the model was trained on these stays cannot be told: its manifest has digests of its training data, "
        "not ids. The figures count only where the stays come from elsewhere."
    )
    return Provenance(0, 0, others, warning, known.path)


@dataclass(frozen=True)
class _TestStays:
    ids: frozenset[str] = frozenset()
    path: Path | None = None


def _test_stays(manifest: Manifest, folder: Path) -> _TestStays:
    """Return the list beside the model; nothing where there is none, or not the one that the manifest names."""
    path = folder / TEST_STAYS_FILE
    try:
        listed = path.read_bytes()
        if hashlib.sha256(listed).hexdigest() != manifest.training.get("test_stays_sha256"):
            return _TestStays()
        return _TestStays(read_stays(path), path)
    except (OSError, UnicodeDecodeError):
        return _TestStays()


def _is_training_file(manifest: Manifest, whole: Cohort, unseen: frozenset[str]) -> bool:
    """Return whether these are the very stays that the manifest's split was made of, however it was changed then."""
    if whole.labels is None:
        return False
    made, hospital = split(whole), manifest.training.get("hospital")
    try:
        possible = [made.within(whole, hospital)] if hospital else [made, made.refit(whole, unseen)]
    except CohortError:  # stays that only another file has
        possible = [made]
    return manifest.training.get("split_digest") in [each.digest for each in possible]
