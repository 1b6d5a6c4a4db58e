"""Events as gateways really send them, and patients as they really come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from confluent_kafka import Producer

from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Evidence
from tests.chaos.feed import Spoiling, producer
from tests.chaos.oracle import plain
from tests.chaos.people import HOURS, admit_all, announce, closed_steps, observations, observe
from tests.chaos.stage import Stage, scenario

__all__ = ["added_latency_ms", "poison", "spoilt_events", "transactions"]

_MOST_ADDED_MS = 200.0
_KINDS = frozenset({"sepsis_risk raised", "sepsis_risk resolved", "sepsis_risk expired", "cannot_assess raised"})
_CALM_MS = 1_000.0  # p99 of a machine on which this can be told


@scenario("spoilt-events")
def spoilt_events(stage: Stage) -> None:
    """Repeats, vital signs one by one and shuffled, late ones and ones from the future, while workers die."""
    spoiling = Spoiling(repeated=0.1, split=True, future=0.02, late=0.05, poison=0.02)
    with stage.ward(rate=300.0, spoiling=spoiling, kinds=frozenset()) as chaos:
        for _ in stage.rounds(chaos):
            for instance in ("worker-1", "worker-2"):
                chaos.flowing(600)
                chaos.kill(instance)
                chaos.start(instance, wait=False)


@scenario("poison")
def poison(stage: Stage) -> None:
    """Bad records one to one among good ones: what the good ones wait longer is measured, and bounded."""
    begins: list[tuple[float, float]] = []
    with stage.ward(rate=80.0, replays=False) as chaos:  # nobody is killed
        chaos.flowing(400)
        for _ in stage.rounds(chaos):
            begin = time.time() * 1000
            chaos.feed.spoiling, chaos.feed.rate = Spoiling(poison=1.0), 160.0
            refused = chaos.written(chaos.ward.topics.rejected)
            chaos.flowing(1_000)
            hit = chaos.written(chaos.ward.topics.rejected) > refused
            chaos.note("poison, one bad record to a good one", hit=hit)
            chaos.feed.spoiling, chaos.feed.rate = Spoiling(), 80.0
            begins.append((begin, time.time() * 1000))
            chaos.flowing(300)
    calm, poisoned = added_latency_ms(stage.evidence, begins)
    stage.result.notes.append(f"p99 from log to score: {calm:.0f} ms, with poison {poisoned:.0f} ms")
    stage.empty_unless(len(stage.evidence.rejected) > 300 * len(begins), "hardly any poison was refused")
    if calm > _CALM_MS:
        stage.empty_unless(False, f"the machine is too busy to measure waiting: p99 is {calm:.0f} ms without poison")
        return
    stage.demand(poisoned - calm < _MOST_ADDED_MS, "order", f"good events waited {poisoned - calm:.0f} ms longer")


def added_latency_ms(evidence: Evidence, poisoned: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return p99 of the milliseconds from log to score: of calm times, and of the poisoned ones (epoch ms)."""
    arrived = {(record.partition, record.offset): record.timestamp for record in evidence.log}
    waits: tuple[list[int], list[int]] = ([], [])
    for record in evidence.scores:
        source = plain(record.value)["source"]
        at = arrived[source["partition"], source["offset"]]
        waits[any(begin <= at <= end for begin, end in poisoned)].append(record.timestamp - at)
    assert waits[0], "no score in calm times"
    assert waits[1], "no score in poisoned times"
    return float(np.percentile(waits[0], 99)), float(np.percentile(waits[1], 99))


@scenario("transactions")
def transactions(stage: Stage) -> None:
    """Let a gateway commit one transaction, abort one and leave one open: every record counts, and nobody waits.

    The workers read what is acknowledged, whatever becomes of its transaction: else one gateway that hangs in its own
    would stop all patients of a partition.
    """
    names: list[int] = []
    with stage.ward(rate=100.0) as chaos:
        for number in stage.rounds(chaos):
            names.append(stage.seed)
            hung = _send_in_transactions(chaos, stage.seed, number)
            chaos.note("a transaction aborted, one open", hit=True)  # the client has said so, else it had raised
            chaos.kill_uncommitted("worker-1")
            chaos.start("worker-1", wait=False)
            chaos.flowing(300)
            hung.abort_transaction(30)
    for name in names:
        patients = [closed_steps(stage.evidence, f"{how}-{name}") for how in ("committed", "aborted", "open")]
        steps = [{step: risk for (_, step), risk in patient.items()} for patient in patients]
        stage.demand(len(steps[0]) == HOURS - 1, "lost-event", f"{len(steps[0])} steps of a committed transaction")
        stage.demand(steps[0] == steps[1] == steps[2], "lost-event", "what became of a transaction made a difference")


def _send_in_transactions(chaos: ChaosWard, name: int, number: int) -> Producer:
    """Send the same of three patients, each in a transaction; return the gateway whose transaction is open."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=100)
    ends: dict[str, Callable[[Producer], object]] = {
        "committed": lambda gateway: gateway.commit_transaction(30),
        "aborted": lambda gateway: gateway.abort_transaction(30),
        "open": lambda gateway: gateway.flush(30),
    }
    for how, end in ends.items():
        gateway = producer(
            chaos.ward.bootstrap,
            **{"transactional.id": f"{chaos.ward.topics.prefix}{how}-{number}", "message.timeout.ms": 30_000},
        )
        gateway.init_transactions(30)
        gateway.begin_transaction()
        for value in observations(f"{how}-{name}", begin):
            gateway.produce(chaos.ward.topics.observations, key=f"{how}-{name}", value=value)
        gateway.flush(30)
        end(gateway)
    return gateway


# -- patients


@scenario("patients")
def patients(stage: Stage) -> None:
    """Use an id again after a discharge, move a patient, merge two; every worker dies on the way."""
    names: list[int] = []
    with stage.ward(rate=60.0, kinds=_KINDS) as chaos:
        for _ in stage.rounds(chaos):
            names.append(stage.seed)
            _come_and_go(chaos, stage.seed)
    for name in names:
        _demand_stays_apart(stage, name)


def _come_and_go(chaos: ChaosWard, name: int) -> None:
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=100)
    middle, end = begin + timedelta(hours=40), begin + timedelta(hours=HOURS)
    first = [f"{who}-{name}" for who in ("reused", "moved", "merged", "target")]
    admit_all(chaos, first, begin)
    for patient in first:
        observe(chaos, patient, begin)
    chaos.kill_uncommitted("worker-1")
    chaos.start("worker-1", wait=False)
    chaos.await_worked_off()
    announce(chaos, f"moved-{name}", "transferred", end, unit="B", bed="2")
    announce(chaos, f"merged-{name}", "merged", end, into=f"target-{name}")
    announce(chaos, f"reused-{name}", "discharged", end)
    chaos.await_appended()
    chaos.kill("worker-2")
    chaos.start("worker-2", wait=False)
    again = [f"{who}-{name}" for who in ("reused", "fresh")]
    admit_all(chaos, again, middle)
    for patient in again:
        observe(chaos, patient, middle)
    observe(chaos, f"moved-{name}", end, 6)
    observe(chaos, f"merged-{name}", begin, 3)  # what still comes for who is no more


def _demand_stays_apart(stage: Stage, name: int) -> None:
    evidence = stage.evidence
    fresh = {step: risk for (_, step), risk in closed_steps(evidence, f"fresh-{name}").items()}
    reused = f"reused-{name}"
    again = {step: risk for (stay, step), risk in closed_steps(evidence, reused).items() if stay == f"{reused}-2"}
    stage.demand(again == fresh, "cross-patient", "a second stay under the same id is not that of a new patient")
    merged = f"merged-{name}".encode()
    late = [record for record in evidence.rejected if record.key == merged]
    stage.demand(len(late) >= 3, "lost-event", "events of a merged patient were not refused")
    alerts = [plain(record.value) for record in evidence.alerts if record.key == merged]
    stage.empty_unless(bool(alerts), "the merged patient had no alert")
    stage.demand(not alerts or alerts[-1]["state"] != "active", "lost-alert", "a merged patient's alert stays open")


@scenario("silent-two-days")
def silent(stage: Stage) -> None:
    """Nothing of a patient for two days of event time, then more of the same stay; the owner dies in between."""
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=100)
    names: list[str] = []
    with stage.ward(rate=60.0) as chaos:
        for _ in stage.rounds(chaos):
            names.append(f"silent-{stage.seed}")
            observe(chaos, names[-1], begin)
            chaos.await_worked_off()
            chaos.kill_uncommitted("worker-1")
            chaos.start("worker-1", wait=False)
            chaos.kill("worker-2")
            chaos.start("worker-2", wait=False)
            observe(chaos, names[-1], begin + timedelta(hours=HOURS + 48), 4)
            chaos.flowing(100)
    for name in names:
        steps = sorted(step for _, step in closed_steps(stage.evidence, name))
        stage.demand(
            steps == list(range(HOURS + 48 + 3)), "lost-event", f"closed steps {steps[:3]}..., {len(steps)} in all"
        )
