"""Patients of whom nothing is kept any more, and who come back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agents.clock import ERASE, LET_GO, clock_record
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.people import announce, closed_steps, observe
from tests.chaos.stage import Stage, scenario

__all__ = ["let_go"]

_BOTH = ("worker-1", "worker-2")
_HOURS = 6  # of each part of a stay; in the first nobody is ill enough yet for an alert, which people would answer


@scenario("let-go")
def let_go(stage: Stage) -> None:
    """Let go of patients, dying before that is committed; they come back, and all die once more: they are kept."""
    names: list[str] = []
    with stage.ward(rate=60.0) as chaos:
        for _ in stage.rounds(chaos):
            some = [key.decode() for key in chaos.one_in_each_partition(f"gone-{stage.seed}")]
            names += some
            begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=100)
            _stay(chaos, some, begin, "first")
            _leave(chaos, some)
            chaos.revive()
            chaos.await_worked_off()  # who came back in the same piece of the log would leave no deletion behind
            again = begin + timedelta(hours=40)
            _stay(chaos, some, again, "second")
            for instance in _BOTH:
                chaos.kill(instance)
            for name in some:
                observe(chaos, name, again + timedelta(hours=_HOURS), _HOURS)
    gone = {record.key for record in stage.evidence.changelog if record.value is None}
    stage.empty_unless({name.encode() for name in names} <= gone, "somebody was not let go")
    for name in names:
        steps = sorted(step for stay, step in closed_steps(stage.evidence, name) if stay == f"{name}-second")
        stage.demand(steps == list(range(2 * _HOURS - 1)), "lost-event", f"closed steps {steps} of a second stay")


def _stay(chaos: ChaosWard, names: Sequence[str], begin: datetime, which: str) -> None:
    """Admit patients, each to a stay of its own name, observe them, and wait until that is worked off."""
    for name in names:
        announce(chaos, name, "admitted", begin, unit="A", bed="1", age=70, stay_id=f"{name}-{which}")
    chaos.await_appended()
    for name in names:
        observe(chaos, name, begin, _HOURS)
    chaos.await_worked_off()


def _leave(chaos: ChaosWard, names: Sequence[str]) -> None:
    """Let people erase the patients, and the clock let go of them as if their log had gone; that kills a worker.

    The log stays, for the judge to read. But all that it holds of them is committed, so that no worker reads it again.
    """
    with chaos.quiet():
        for name in names:
            _say(chaos, name, ERASE)
        chaos.await_worked_off()
        with chaos.positions() as positions:
            ends = positions.end_offsets(chaos.ward.topics.observations)
        for instance in _BOTH:
            chaos.kill(instance)
        for name in names:
            _say(chaos, name, LET_GO, ends[chaos.partition(name.encode())])
        chaos.feed.flush()
        chaos.await_crash("worker-1", chaos.arm("worker-1", "stored"), "stored, with patients let go")


def _say(chaos: ChaosWard, name: str, what: str, log_begins: int = 0) -> None:
    """Append what the wall clock, or somebody at it, has to say of a patient."""
    key, value, headers = clock_record(name.encode(), round(time.time() * 1000), [what], log_begins)
    chaos.feed.send(chaos.ward.topics.observations, key, value, headers=list(headers))
