"""From which risk on a ward's patients are alerted, for whoever shows it: the same as what the stream decides by."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.control import ThresholdSaid
from agents.in_force import InForce
from agents.messages import Identity, UnitThreshold
from agents.outputs import utc
from agents.policy import Policy
from agents.rules import Rules
from monitor.ward_rules import WardRules
from tests.agents.logs import EVENTFUL, MINUTE, START
from tests.agents.told import EVENTFUL_UNITS

_UNITS = ["MICU", "SICU", "ward 7", ""]
_SAID = st.tuples(
    st.sampled_from(_UNITS),
    st.sampled_from([0.03, 0.045, 0.05, 0.06, 0.07]),
    st.integers(0, 5),
    st.sampled_from([EVENTFUL, *EVENTFUL_UNITS.values()]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_SAID, max_size=8))
def test_what_is_shown_is_what_decides(said: list[tuple[str, float, int, Policy]]) -> None:
    shown, own = WardRules(EVENTFUL, EVENTFUL_UNITS), Rules(EVENTFUL, EVENTFUL_UNITS)
    decides = InForce()
    for offset, (unit, threshold, minute, policy) in enumerate(said):
        named = Identity(policy.name, policy.version, policy.digest)
        counted = START + minute * MINUTE + offset  # no two records of a controller count equally far
        taken = decides.with_threshold(offset, ThresholdSaid(unit, threshold, counted, named.digest), own)
        if isinstance(taken, InForce):  # nobody tells a ward of what the workers refuse
            decides = taken
            shown.take(UnitThreshold(unit, threshold, utc(counted), 0, 0.0, named, utc(START)))
    rules = decides.newest(own)
    assert [shown.of(unit) for unit in _UNITS] == [rules.of_unit(unit) for unit in _UNITS]
    assert shown.of(None) == shown.of("")
    assert [unit for unit, _ in shown.apart()] == sorted(set(rules.units) - {""})


def test_a_threshold_of_another_policy_or_beyond_its_limits_is_not_shown() -> None:
    shown = WardRules(EVENTFUL, EVENTFUL_UNITS)
    micu, sicu = (Identity(policy.name, "1", policy.digest) for policy in EVENTFUL_UNITS.values())
    shown.take(UnitThreshold("MICU", 0.05, utc(START), 0, 0.0, sicu, utc(START)))
    assert shown.of("MICU") == EVENTFUL_UNITS["MICU"]
    shown.take(UnitThreshold("MICU", 0.9, utc(START + 1), 0, 0.0, micu, utc(START)))
    assert shown.of("MICU") == EVENTFUL_UNITS["MICU"]
