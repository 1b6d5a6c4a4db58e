"""The load of a measurement: what a ward's monitors would send, every byte of it acceptable."""

from __future__ import annotations

from importlib import resources
from itertools import chain

import numpy as np
import pytest

from agents.columns import decode_chunk
from agents.decoding import Limits
from agents.worker_config import partition_of
from models.cohort import Cohort, read_cohort
from models.vital_signs import N_VITAL_SIGNS
from monitor.bench.core_cost import LoggedRecord
from monitor.bench.load import Load

END_MS = 1_795_341_600_000
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    with resources.as_file(resources.files("monitor").joinpath("data", "demo-stays.parquet")) as file:
        return read_cohort(file)


def logged(load: Load) -> list[LoggedRecord]:
    pairs = chain.from_iterable(load.rounds(END_MS))
    return [LoggedRecord("", 0, offset, END_MS, *pair) for offset, pair in enumerate(pairs)]


def test_every_sample_is_a_plain_observation(cohort: Cohort) -> None:
    load = Load(cohort, patients=40, samples=5, every_seconds=60)
    records = logged(load)
    columns = decode_chunk(records, Limits())
    assert len(records) == load.events == 200
    assert columns.place == list(range(200))
    assert (columns.rejected, columns.partly) == ([], {})


def test_each_patient_has_one_sample_a_round_and_the_last_ends_before_the_end(cohort: Cohort) -> None:
    load = Load(cohort, patients=30, samples=4, every_seconds=600)
    columns = decode_chunk(logged(load), Limits())
    times = columns.time_ms.reshape(4, 30)
    assert (np.diff(times, axis=0) == 600_000).all()
    assert (times[-1] < END_MS).all()
    assert (times[-1] >= END_MS - 600_000).all()
    assert len(set(columns.key)) == 30


def test_the_same_seed_gives_the_same_bytes(cohort: Cohort) -> None:
    one, same, other = (Load(cohort, 10, 3, 60.0, seed=seed) for seed in (1, 1, 2))
    assert list(one.rounds(END_MS)) == list(same.rounds(END_MS))
    assert list(one.rounds(END_MS)) != list(other.rounds(END_MS))


def test_values_are_those_of_a_stay_hour_by_hour(cohort: Cohort) -> None:
    """Within an hour they hardly move; from hour to hour as the stay's do."""
    load = Load(cohort, patients=12, samples=48, every_seconds=1800)
    heart = decode_chunk(logged(load), Limits()).values.reshape(48, 12, N_VITAL_SIGNS)[..., 0]
    within = np.abs(heart[1::2] - heart[::2])
    between = np.abs(heart[2::2] - heart[1:-1:2])
    assert np.nanmax(within) < 5
    assert np.nanmean(between) > 3 * np.nanmean(within)


def test_there_is_one_observation_for_each_partition(cohort: Cohort) -> None:
    found = Load(cohort, 200, 1, 60).one_of_each_partition(8, END_MS)
    assert sorted(partition_of(key, 8) for key, _ in found) == list(range(8))
    columns = decode_chunk([LoggedRecord("", 0, 0, END_MS, key, value) for key, value in found], Limits())
    assert len(columns.place) == 8


def test_of_single_samples_every_twentieth_is_of_a_new_patient(cohort: Cohort) -> None:
    load = Load(cohort, 7, 1, 60)
    known = {key for key, _ in next(load.rounds(END_MS))}
    sample = load.single_samples(60, 20)
    keys = [sample(number, END_MS)[0] for number in range(60)]
    assert [number for number, key in enumerate(keys) if key not in known] == [19, 39, 59]
    assert len(set(keys) - known) == 3
