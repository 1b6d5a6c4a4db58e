"""The rule of each row: that of its unit, as columns, or one for all where nothing differs."""

from __future__ import annotations

import numpy as np

from agents.policy import critical_bounds
from agents.record import RecordLayout
from agents.rules import RowRules, Rules, terms_of
from tests.agents.logs import BUSY, EVENTFUL, MINUTE, MODEL, between


def test_where_one_policy_decides_on_all_there_is_one_set_of_terms() -> None:
    rows = RecordLayout(MODEL).fresh(3)
    rows["unit"] = [b"MICU", b"", b"SICU"]
    for rules in (Rules(BUSY), Rules(BUSY, {"MICU": BUSY})):
        assert rules.one_for_all
        terms = RowRules(rules, rows).terms(np.arange(3))
        assert terms["raise_threshold"].shape == ()
        assert terms == terms_of(BUSY)
        assert RowRules(rules, rows).policy(2) is BUSY


def test_each_row_has_the_terms_of_its_unit_also_when_that_changes() -> None:
    rows = RecordLayout(MODEL).fresh(4)
    rows["unit"] = [b"MICU", b"", b"SICU", "Süd".encode()]
    rules = RowRules(Rules(BUSY, {"MICU": EVENTFUL, "Süd": between(0.5, 0.4), "": between(0.3, 0.2)}), rows)
    index = np.array([3, 0, 0, 2, 1])
    assert rules.terms(index)["raise_threshold"].tolist() == [0.5, 0.052, 0.052, 0.079, 0.3]
    assert [rules.policy(row).name for row in range(4)] == ["eventful", "test", "busy", "test"]
    rows["unit"][0] = b"elsewhere"
    rules.renew(0)
    assert rules.terms(index)["raise_threshold"].tolist() == [0.5, 0.079, 0.079, 0.079, 0.3]


def test_terms_say_what_the_policy_says() -> None:
    terms = terms_of(EVENTFUL)
    assert (terms["raise_ms"], terms["refractory_ms"], terms["blind_ms"]) == (5 * MINUTE, 0, 30 * MINUTE)
    assert (terms["escalate_threshold"], terms["update_step"]) == (0.065, 0.002)
    assert (terms_of(BUSY)["escalate_threshold"], terms_of(between(0.5, 0.4))["lost_ms"]) == (np.inf, 90 * MINUTE)
    low, high = critical_bounds(EVENTFUL)
    assert np.array_equal(terms["critical_low"], low)
    assert np.array_equal(terms["critical_high"], high)
