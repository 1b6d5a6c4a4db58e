"""The policies that the configuration names, by unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.policy import PolicyError, load_policy
from monitor.sections import PolicySettings
from monitor.settings import Settings
from monitor.unit_policies import policies_of

GOOD = 'name = "icu"\nversion = "1"\nmodel = "m 1"\nraise_threshold = 0.3\nresolve_threshold = 0.2\n'


def named(**units: Path) -> Settings:
    return Settings(policy=PolicySettings(units=units))


def test_units_have_their_own_and_all_others_the_common_one(tmp_path: Path) -> None:
    (tmp_path / "icu.toml").write_text(GOOD)
    common, units = policies_of(named(MICU=tmp_path / "icu.toml"))
    assert (common, units) == (load_policy(), {"MICU": load_policy(tmp_path / "icu.toml")})
    assert policies_of(Settings()) == (load_policy(), {})


def test_a_file_that_cannot_be_used_is_named_with_its_unit(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"policy\.units, MICU: .*none\.toml cannot be read"):
        policies_of(named(MICU=tmp_path / "none.toml"))


def test_policies_that_no_record_can_hold_are_refused(tmp_path: Path) -> None:
    (tmp_path / "icu.toml").write_text(GOOD.replace('"icu"', f'"{"i" * 10_000}"'))
    with pytest.raises(PolicyError, match="name fewer units"):
        policies_of(named(**{f"u{number}": tmp_path / "icu.toml" for number in range(60)}))
