"""A whole run that shows too little is told as such."""

from __future__ import annotations

from tests.chaos.stage import Result
from tests.chaos.whole_run import lacking

_SEPSIS = ["raised", "updated", "escalated", "acknowledged", "snoozed", "marked", "resolved", "expired", "rejected"]
_KINDS = {
    **{f"sepsis_risk {transition}": 1 for transition in _SEPSIS},
    "cannot_assess raised": 1,
    "cannot_assess expired": 1,
    "monitoring_lost raised": 1,
    "monitoring_lost snoozed": 1,
}


def _run(kinds: dict[str, int], replays: int = 1) -> list[Result]:
    half = len(kinds) // 2
    return [
        Result("certain", kinds=dict([*kinds.items()][:half]), replays=5),
        Result("lucky", kinds=dict([*kinds.items()][half:]), replays=replays, by_luck=True),
    ]


def test_a_run_in_which_everything_took_place_lacks_nothing() -> None:
    assert lacking(_run(_KINDS)) == []
    assert lacking([*_run(_KINDS, replays=0), Result("luckier", replays=1, by_luck=True)]) == []


def test_each_transition_that_nobody_decided_on_is_named() -> None:
    for kind in _KINDS:
        (said,) = lacking(_run({name: count for name, count in _KINDS.items() if name != kind}))
        assert kind in said


def test_certain_repeats_do_not_stand_for_those_of_luck() -> None:
    assert lacking(_run(_KINDS, replays=0)) == ["nothing was done twice in lucky"]
