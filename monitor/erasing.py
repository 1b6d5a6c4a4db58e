"""Erases a patient: at once from what is kept for good, and says when the rest ages out.

The patient's log is told so, and the worker that owns the patient acts where it reads it: an open stay and its alerts
end, of the state only a stub remains, and the compacted topics get tombstones. So every worker forgets alike, and a
replay of the log does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from kafka.errors import KafkaError

from agents.checking import PATIENT_ID
from agents.clock import ERASE, clock_record
from agents.topics import CHANGELOG_CONFIG, Topics, topic_specs
from monitor import clients
from monitor.errors import Failure
from monitor.known_patients import is_known
from monitor.positions import GroupPositions
from monitor.remains import Remains, remains_of
from monitor.settings import Settings
from monitor.topic_admin import plan_topics

__all__ = ["erase"]

_SEND_SECONDS = 30.0


def erase(
    settings: Settings, bootstrap: str, patient: str, patience: float, *, force: bool = False
) -> Sequence[Remains]:
    """Erase a patient, wait until the workers have done so, and say what remains on each topic and until when.

    Raises Failure for what is no patient id, for a patient of whom nothing is known (unless `force`: the id would be
    written to the topics, and it may be one in clear), where the cluster does not take the records, and where no
    worker has come so far within `patience` seconds (it then does so later).
    """
    if not PATIENT_ID.fullmatch(patient):
        msg = "that is no patient id (1 to 64 letters, digits, _ and -); nothing was erased"
        raise Failure(msg)
    topics = Topics(settings.topics.prefix)
    remains = _remains(settings, bootstrap, topics)  # refuses before anything is sent, where a topic cannot be seen
    if not force:
        _refuse_a_stranger(settings, bootstrap, topics, patient)
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


def _refuse_a_stranger(settings: Settings, bootstrap: str, topics: Topics, patient: str) -> None:
    try:
        known = is_known(settings, bootstrap, topics, patient)
    except KafkaError as error:
        msg = f"cannot read whether the patient is known ({type(error).__name__} {error}); nothing was erased"
        raise Failure(msg) from error
    if not known:
        msg = (
            "nothing is known of this patient under that key: neither a risk nor an admission; nothing was erased, nor "
            "was the id written anywhere. An id in clear needs --pseudonym-key; --force erases all the same"
        )
        raise Failure(msg)


def _remains(settings: Settings, bootstrap: str, topics: Topics) -> list[Remains]:
    """Return what the topics' own settings, as they are on the cluster, mean for what has been written until now."""
    found = []
    now_ms = round(time.time() * 1000)
    specs = [spec for spec in topic_specs(topics) if spec.name != topics.budgets]  # which has nothing of a patient
    for state in plan_topics(bootstrap, settings, specs):
        if state.state == "missing":
            msg = f"there is no topic {state.name}, or this user may not see it; nothing was erased"
            raise Failure(msg)
        found.append(remains_of(state.name, {**state.config, **state.differs}, now_ms))
    changelog = f"{topics.prefix}{settings.worker.group}-patients-changelog"
    gone = remains_of(changelog, CHANGELOG_CONFIG, now_ms).what.removeprefix("tombstone; ")
    found.append(
        Remains(
            changelog,
            f"a stub with the patient id and counters until {topics.observations} has nothing of the patient any more; "
            f"{gone} (as this version makes the topic)",
        )
    )
    return found
