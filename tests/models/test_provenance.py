"""What is known of whether a model has seen the stays it is judged on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from models.artifact import untrained_model
from models.cohort import Cohort
from models.manifest import Manifest
from models.provenance import provenance, read_stays
from models.split import Split, split
from tests.models.stays import made_up_cohort


def trained_on(cohort: Cohort, folder: Path, parts: Split | None = None, **origin: str) -> Manifest:
    """Return a manifest that says so, with the list of test stays beside it."""
    parts = parts or split(cohort)
    listed = "".join(f"{name}\n" for name in cohort.select(parts.unseen).patient_ids).encode()
    (folder / "test-stays.txt").write_bytes(listed)
    training = {**origin, "split_digest": parts.digest, "test_stays_sha256": hashlib.sha256(listed).hexdigest()}
    return msgspec.structs.replace(untrained_model().manifest, training=training)


def all_of(cohort: Cohort) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(cohort.n_stays, dtype=np.bool_)


def test_the_training_file_is_recognised(tmp_path: Path) -> None:
    cohort = made_up_cohort(0, stays=60)
    manifest, test = trained_on(cohort, tmp_path), split(cohort).test
    found = provenance(manifest, tmp_path, cohort, all_of(cohort))
    assert (found.unseen, found.seen, found.unknown) == (int(test.sum()), int((~test).sum()), 0)
    assert f"{int((~test).sum())} of 60 stays were used" in found.warning
    assert str(tmp_path / "test-stays.txt") in found.warning
    confined = provenance(manifest, tmp_path, cohort, test)
    assert (confined.unseen, confined.seen, confined.warning) == (int(test.sum()), 0, "")


def test_the_file_is_recognised_when_the_model_learned_from_its_test_stays_too(tmp_path: Path) -> None:
    cohort = made_up_cohort(0, stays=120)
    shown = cohort.select(split(cohort).test).patient_ids[:3]
    manifest = trained_on(cohort, tmp_path, split(cohort).refit(cohort, frozenset(shown)))
    found = provenance(manifest, tmp_path, cohort, all_of(cohort))
    assert (found.unseen, found.seen, found.unknown) == (3, 117, 0)


def test_a_model_of_one_hospital_has_seen_nobody_of_the_other(tmp_path: Path) -> None:
    cohort = made_up_cohort(0, stays=120)
    parts, there = split(cohort).within(cohort, "A"), np.array(cohort.hospitals) == "B"
    manifest = trained_on(cohort, tmp_path, parts, hospital="A")
    found = provenance(manifest, tmp_path, cohort, all_of(cohort))
    assert (found.unseen, found.unknown) == (int((there | parts.test).sum()), 0)
    assert provenance(manifest, tmp_path, cohort, there).counts() == {
        **{"unseen": int(there.sum()), "seen": 0, "unknown": 0, "warning": ""}
    }


def test_a_part_of_the_training_file_is_suspected(tmp_path: Path) -> None:
    cohort = made_up_cohort(0, stays=60)
    manifest, test = trained_on(cohort, tmp_path), split(cohort).test
    part = cohort.select(test | (np.arange(60) < 30))
    found = provenance(manifest, tmp_path, part, all_of(part))
    assert (found.unseen, found.seen) == (int(test.sum()), 0)
    assert found.unknown == part.n_stays - int(test.sum())
    assert "probably" in found.warning
    unseen = cohort.select(test)
    assert provenance(manifest, tmp_path, unseen, all_of(unseen)).warning == ""


def test_of_other_stays_nothing_is_claimed(tmp_path: Path) -> None:
    cohort = made_up_cohort(0, stays=60)
    manifest = trained_on(cohort, tmp_path)
    found = provenance(manifest, tmp_path / "elsewhere", cohort.select(np.arange(60) < 10), np.ones(10, dtype=np.bool_))
    assert (found.unseen, found.seen, found.unknown) == (0, 0, 10)
    assert "cannot be told" in found.warning


def test_a_list_that_is_not_the_manifests_counts_for_nothing(tmp_path: Path) -> None:
    cohort = made_up_cohort(0, stays=60)
    manifest = trained_on(cohort, tmp_path)
    (tmp_path / "test-stays.txt").write_text("\n".join(cohort.patient_ids))
    found = provenance(manifest, tmp_path, cohort, all_of(cohort))
    assert found.unseen == 0
    assert found.test_stays is None


def test_a_list_is_an_id_a_line(tmp_path: Path) -> None:
    (tmp_path / "stays.txt").write_text("p1\n\n p2 \r\n")
    assert read_stays(tmp_path / "stays.txt") == {"p1", "p2"}
