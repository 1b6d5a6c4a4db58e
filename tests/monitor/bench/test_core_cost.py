"""The cost of the core is measured on observations that all count, and leaves out how stays begin."""

from __future__ import annotations

from importlib import resources

from agents.policy import load_policy
from models.artifact import load_model
from models.cohort import read_cohort
from monitor.bench.core_cost import core_cost
from monitor.bench.load import Load


def test_the_core_costs_more_than_the_bare_network_and_both_are_measured() -> None:
    with resources.as_file(resources.files("monitor").joinpath("data", "demo-stays.parquet")) as file:
        cohort = read_cohort(file)
    found = core_cost(load_model("bedside"), load_policy(), Load(cohort, patients=300, samples=12, every_seconds=60))
    assert found.events == 300 * 9
    assert 0 < found.lstm_us < found.core_us
    assert found.ratio == found.core_us / found.lstm_us
