"""A broker that loses what it acknowledged: after a power cut, a node alone has no more than its disk.

Nothing can bring such records back. What is asked is that the workers are right about what the broker kept.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

from monitor.brokers.apache import ApacheBroker
from tests.chaos.chaos_ward import ChaosWard
from tests.chaos.evidence import Evidence
from tests.chaos.stage import Skipped, Stage, scenario

__all__ = ["batches", "broker_loses", "tear"]

_HEADER = struct.Struct(">qi")  # base offset, length of what follows


@scenario("broker-loses-records", most_rounds=5, engines=("kafka",))
def broker_loses(stage: Stage) -> None:
    """Cut off the ends of the broker's logs while it is down: observations not worked off yet, and alerts."""
    broker = stage.broker()
    if not isinstance(broker, ApacheBroker):
        msg = "needs the files of one node"
        raise Skipped(msg)

    def judged_on_the_rest(evidence: Evidence) -> Evidence:
        return replace(evidence, broker_lost=True)

    # The workers are killed when all is worked off and committed: nothing is to be read again.
    with stage.ward(amend=judged_on_the_rest, replays=False) as chaos:
        for _ in stage.rounds(chaos):
            chaos.flowing(200)
            worked_off = _stop_working(chaos)
            chaos.pause(2.0, 3.0)
            chaos.feed.hold()
            chaos.staff.resting = True
            pending = chaos.pending()
            broker.kill()
            torn = _lose_ends(chaos, broker.data_dir / "kafka", worked_off)
            chaos.note("the broker loses the ends of its logs", hit=torn > 0, pending=pending)
            broker.start()
            chaos.feed.renew()  # the broker has lost what it knew of this producer, too: a gateway ends at that
            chaos.feed.go_on()
            chaos.staff.resting = False
            chaos.revive()
    stage.empty_unless(stage.result.broker_lost > 0, "nothing was lost")
    stage.result.notes.append(f"the broker lost {stage.result.broker_lost} records that it had acknowledged")


def _stop_working(chaos: ChaosWard) -> Mapping[int, int]:
    """SIGKILL the workers while nothing is left to do; return the ends of the logs' partitions."""
    topics = chaos.ward.topics
    with chaos.quiet():
        with chaos.positions() as positions:
            ends = positions.end_offsets(topics.observations)
            alerts = sum(positions.end_offsets(topics.alert_events).values())
        chaos.until(lambda: len(chaos.subscriber.places()) >= alerts, 30, "all alerts seen by the subscriber")
        for instance in ("worker-1", "worker-2"):
            chaos.kill(instance)
    return ends


def _lose_ends(chaos: ChaosWard, logs: Path, worked_off: Mapping[int, int]) -> int:
    """Tear logs off: of the observations behind what is worked off, of the alerts the last batch; return how many."""
    topics = chaos.ward.topics
    torn = 0
    for partition, end in worked_off.items():
        torn += tear(logs / f"{topics.observations}-{partition}", end, chaos.random)
    for partition in worked_off:
        folder = logs / f"{topics.alert_events}-{partition}"
        last = [base for base, _, _ in batches(_newest_segment(folder))][-1:]
        torn += tear(folder, last[0] if last else 0, chaos.random)
    return torn


def tear(folder: Path, keep: int, random: Random) -> bool:
    """Cut a partition's log off in the middle of a batch that begins at offset `keep` or later, if there is one."""
    segment = _newest_segment(folder)
    behind = [(place, size) for base, place, size in batches(segment) if base >= keep]
    if not behind:
        return False
    place, size = random.choice(behind)
    with segment.open("r+b") as file:
        file.truncate(place + size // 2)
    return True


def _newest_segment(folder: Path) -> Path:
    return max(folder.glob("*.log"))


def batches(segment: Path) -> list[tuple[int, int, int]]:
    """Return base offset, place in the file and size in bytes of each record batch of a segment."""
    data = segment.read_bytes()
    found: list[tuple[int, int, int]] = []
    place = 0
    while place + _HEADER.size <= len(data):
        base, length = _HEADER.unpack_from(data, place)
        found.append((base, place, _HEADER.size + length))
        place += _HEADER.size + length
    return found
