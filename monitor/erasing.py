"""Erases a patient: at once from what is kept for good, and says when the rest ages out.

The patient's log is told so, and the worker that owns the patient acts where it reads it: an open stay and its alerts
end, of the state only a stub remains, and the compacted topics get tombstones. So every worker forgets alike, and a
replay of the log does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kafka.errors import KafkaError

from agents.checking import PATIENT_ID
from agents.clock import ERASE, clock_record
from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.errors import Failure
from monitor.positions import GroupPositions
from monitor.settings import Settings
from monitor.topic_admin import plan_topics

__all__ = ["Remains", "erase"]

_SEND_SECONDS = 30.0
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Remains:
    """What becomes of a patient's records on one topic."""

    topic: str
    what: str


def erase(settings: Settings, bootstrap: str, patient: str, patience: float) -> Sequence[Remains]:
    """Erase a patient, wait until the workers have done so, and say what remains on each topic and until when.

    Raises Failure for what is no patient id, where the cluster does not take the records, and where no worker has come
    so far within `patience` seconds (it then does so later).
    """
    if not PATIENT_ID.fullmatch(patient):
        msg = "that is no patient id (1 to 64 letters, digits, _ and -); nothing was erased"
        raise Failure(msg)
    topics = Topics(settings.topics.prefix)
    remains = _remains(settings, bootstrap, topics)  # refuses before anything is sent, where a topic cannot be seen
    producer = clients.producer(settings.kafka, bootstrap)
    admin = clients.admin(settings.kafka, bootstrap)
    try:
        key, value, headers = clock_record(patient.encode(), round(time.time() * 1000), [ERASE])
        told = producer.send(topics.observations, key=key, value=value, headers=list(headers))
        purged = producer.send(topics.admissions, key=key, value=None)
        position = told.get(timeout=_SEND_SECONDS)
        purged.get(timeout=_SEND_SECONDS)
        positions = GroupPositions(admin, settings.worker.group)
        target = {position.partition: position.offset + 1}
        if not positions.wait(topics.observations, target, patience, threading.Event()):
            msg = (
                f"the patient's log says that the patient is to be erased, but no worker of {settings.worker.group} "
                f"has read so far within {patience:g} s: it is done when one runs"
            )
            raise Failure(msg)
    except KafkaError as error:
        msg = f"Kafka did not take what erases the patient ({type(error).__name__}); say `forget` again"
        raise Failure(msg) from error
    finally:
        producer.close(timeout=10)
        admin.close()
    return remains


def _remains(settings: Settings, bootstrap: str, topics: Topics) -> list[Remains]:
    """Return what the topics' own settings, as they are on the cluster, mean for what has been written until now."""
    found = []
    for state in plan_topics(bootstrap, settings, topic_specs(topics)):
        if state.state == "missing":
            msg = f"there is no topic {state.name}, or this user may not see it; nothing was erased"
            raise Failure(msg)
        config = {**state.config, **state.differs}
        if "delete" not in config.get("cleanup.policy", "") and "retention.ms" not in config:
            found.append(Remains(state.name, "tombstone; gone with the next compaction"))
            continue
        kept_ms = int(config.get("retention.ms", -1))
        until = (
            "for ever"
            if kept_ms < 0
            else f"until {time.strftime('%Y-%m-%d', time.gmtime(time.time() + kept_ms / 1000))}"
        )
        found.append(Remains(state.name, f"kept {until}, {max(kept_ms, 0) // _DAY_MS} days from now at most"))
    changelog = f"{topics.prefix}{settings.worker.group}-patients-changelog"
    found.append(
        Remains(changelog, "a stub with the patient id and counters; the rest is gone with the next compaction")
    )
    return found
