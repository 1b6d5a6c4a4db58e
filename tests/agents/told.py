"""Random logs into which people and the wall clock speak, and in which policies, units and thresholds change."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec import structs

from agents.episodes import KINDS, alert_id
from agents.policy import Budget
from tests.agents.logs import (
    BUSY,
    EVENTFUL,
    MINUTE,
    START,
    Record,
    admission,
    between,
    clock,
    command,
    numbered,
    observation,
    settings_record,
    threshold_record,
)

__all__ = ["EVENTFUL_UNITS", "told_wards"]

# Units that have their own: one at another place amid the risks, with a budget, and one that watches for other things.
EVENTFUL_UNITS = {
    "MICU": structs.replace(
        EVENTFUL,
        name="micu",
        digest="sha256:02",
        raise_threshold=0.06,
        resolve_threshold=0.055,
        raise_minutes=0,
        escalate_threshold=0.062,
        budget=Budget(0.5, 0.04, 0.065),
    ),
    "SICU": structs.replace(
        EVENTFUL,
        name="sicu",
        digest="sha256:03",
        raise_threshold=0.048,
        resolve_threshold=0.047,
        latching=False,
        cannot_assess_minutes=0,
        monitoring_lost_minutes=20,
        acknowledge_minutes=5,
        treated_hours=1,
        snooze_most_minutes=700,
        critical={},
        budget=Budget(0.5, 0.045, 0.055),
    ),
}
_SEEN: tuple[dict[str, object], ...] = (  # from risks of 4.5 % to 6.7 %, and one that says too little
    {"heart_rate": 70, "respiratory_rate": 14, "temperature": 37},
    {"heart_rate": 150, "respiratory_rate": 38, "temperature": 35},
    {"heart_rate": 110, "respiratory_rate": 24, "temperature": 38.5},
    {"heart_rate": 170, "respiratory_rate": 40, "temperature": 41, "systolic_bp": 70},
    {"systolic_bp": 100},
)
_COMMANDS: tuple[tuple[str, dict[str, object]], ...] = (
    ("acknowledge", {}),
    ("acknowledge", {"sequence": 1}),
    ("snooze", {"minutes": 30}),
    ("snooze", {"minutes": 600}),
    ("dismiss", {"reason": "artefact"}),
    ("mark", {"verdict": "true"}),
    ("mark", {"verdict": "already_treated"}),
    ("snooze", {}),  # lacks what it needs
    ("mark", {"verdict": "perhaps"}),
)
_DUE = ("monitoring_lost", "escalate", "snooze_over", "forget", "something_new")
_SAID = ("observed",) * 8 + ("command",) * 4 + ("clock",) * 2 + ("settings", "discharged", "admitted")
_SAID_OF_UNITS = (*_SAID, "threshold", "threshold", "transferred", "transferred")
_POLICIES = (BUSY, EVENTFUL, between(0.05, 0.048))
_SOME_MINUTES = st.sampled_from([0, 1, 4, 6, 13, 29, 31, 45, 91, 125] * 4 + [97 * 60])


@st.composite
def told_wards(draw: st.DrawFn, longest: int = 25, *, units: bool = False) -> list[Record]:
    """Draw the logs of two patients into which people and the wall clock speak, and in which the policy changes.

    With `units` patients are moved between those of `EVENTFUL_UNITS` and one without a policy, whose policies change,
    and whose thresholds move.
    """
    minute = 0
    log = [observation("p", START, **_SEEN[2]), observation("q", START, **_SEEN[4])]
    if units:
        log.insert(0, settings_record(EVENTFUL, START, EVENTFUL_UNITS))
        log += [admission(name, "admitted", START, source_offset=at, unit="MICU") for at, name in enumerate("pq")]
    for _ in range(draw(st.integers(1, longest))):
        minute += draw(_SOME_MINUTES)
        patient, time_ms = draw(st.sampled_from(["p", "p", "q"])), START + minute * MINUTE
        kind = draw(st.sampled_from(_SAID_OF_UNITS if units else _SAID))
        if kind == "observed":
            log.append(observation(patient, time_ms, **draw(st.sampled_from(_SEEN))))
        elif kind == "clock":
            log.append(clock(patient, time_ms, *draw(st.lists(st.sampled_from(_DUE), min_size=1, max_size=3))))
        elif kind == "settings":
            log.append(_some_settings(draw, time_ms, units=units))
        elif kind == "threshold":
            log.append(_some_threshold(draw, time_ms))
        elif kind == "command":
            what, fields = draw(st.sampled_from(_COMMANDS))
            which, episode = draw(st.sampled_from(KINDS + KINDS[:1] * 4)), draw(st.sampled_from([1, 1, 1, 2, 3]))
            alert = alert_id(patient, f"{patient}-1", START, which, episode)
            log.append(command(patient, what, alert, time_ms, **fields))
        else:
            where = {"unit": draw(st.sampled_from(["MICU", "SICU", "ward 7"]))} if units else {}
            log.append(admission(patient, kind, time_ms, source_offset=len(log), **where))
    return numbered(log)


def _some_settings(draw: st.DrawFn, time_ms: int, *, units: bool) -> Record:
    if not units:
        return settings_record(draw(st.sampled_from(_POLICIES)), time_ms)
    named = {unit: EVENTFUL_UNITS[unit] for unit in draw(st.sets(st.sampled_from(sorted(EVENTFUL_UNITS))))}
    if draw(st.integers(0, 3)) == 0:
        named = dict(zip(EVENTFUL_UNITS, reversed(EVENTFUL_UNITS.values()), strict=True))
    return settings_record(draw(st.sampled_from([EVENTFUL, EVENTFUL_UNITS["MICU"]])), time_ms, named)


def _some_threshold(draw: st.DrawFn, time_ms: int) -> Record:
    """Draw a threshold: some are repeated, out of order, out of the limits, or under another policy."""
    unit = draw(st.sampled_from(["MICU", "MICU", "SICU", "ward 7", ""]))
    policy = draw(st.sampled_from([EVENTFUL_UNITS.get(unit, EVENTFUL_UNITS["MICU"]), *EVENTFUL_UNITS.values()]))
    counted_ms = time_ms - draw(st.sampled_from([0, 0, 0, 30, 200])) * MINUTE
    threshold = draw(st.sampled_from([0.042, 0.046, 0.049, 0.052, 0.054, 0.063, 0.07]))
    return threshold_record(unit, threshold, policy, counted_ms, time_ms)
