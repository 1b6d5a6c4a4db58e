"""What a worker may do is taken away while it runs: it is not ready or ends, says why, and loses nothing.

The cluster asks everybody for the password again every few seconds; without that, Kafka does not close a connection
whose user is no longer known.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.exits import Exit
from agents.topics import Topics
from monitor.access import ROLES, Grant, grants
from monitor.brokers.probe import free_port
from monitor.settings import load_settings
from tests.e2e.test_security import Part, failing
from tests.e2e.ward import Ward
from tests.monitor.guarded import PASSWORD, GuardedBroker, guarded_broker
from tests.monitor.notify.hooks import write_receivers
from tests.waiting import until

pytestmark = pytest.mark.long  # minutes: `make test-long`
_SETTINGS = load_settings(None, {"topics.prefix": "icu.", "worker.group": "icu-workers"})
_REAUTHENTICATE_MS = 3_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBroker]:
    found = guarded_broker(tmp_path_factory.mktemp("guarded"))
    found.properties = {"connections.max.reauth.ms": str(_REAUTHENTICATE_MS)}
    found.start()
    try:
        found.add_users(list(ROLES))
        for role in ROLES:
            found.grant(f"User:{role}", of_role(role))
        assert Part(found, "admin").say("topics", "create").exit_code == 0
        yield found
    finally:
        found.stop()


@pytest.fixture
def ward(broker: GuardedBroker, tmp_path: Path) -> Iterator[Ward]:
    more = {"SEPSIS_MONITOR_WORKER__DATA_DIR": str(tmp_path / "data")}
    ward = Ward(_SETTINGS, broker.bootstrap_servers, tmp_path, {**Part(broker, "worker").environment, **more})
    ward.start()
    try:
        ward.wait_ready()
        yield ward
    finally:
        ward.kill()


def of_role(role: str) -> list[Grant]:
    return [one for one in grants(Topics("icu."), _SETTINGS.worker.group) if one.role == role]


def measure(ward: Ward, patient: str) -> None:
    said = {"patient_id": patient, "time": datetime.now(UTC).isoformat(), "heart_rate": 90, "temperature": 37.2}
    ward.send(ward.topics.observations, [(patient.encode(), json.dumps(said).encode(), [])])


def scored(ward: Ward) -> set[str]:
    return {score["patient_id"] for score in ward.values(ward.topics.scores)}


@pytest.mark.parametrize(
    ("resource", "operation", "named"),
    [
        ("icu-workers", "Read", "GroupAuthorizationFailedError"),
        ("icu.vitals.observations.v1", "Read", "TopicAuthorizationFailedError"),
        ("icu.risk.scores.v1", "Write", "chunk_failed"),
        ("icu.icu-workers-patients-changelog", "Write", "chunk_failed"),
    ],
)
def test_a_worker_whose_right_is_taken_ends_until_it_has_it_again(
    broker: GuardedBroker, ward: Ward, resource: str, operation: str, named: str
) -> None:
    before, after = (f"{operation}-{len(resource)}-{when}" for when in ("before", "after"))
    measure(ward, before)
    ward.drain()
    kind = next(one for one in of_role("worker") if one.name == resource)
    right = [Grant("worker", kind.resource, resource, kind.pattern, (operation,))]
    broker.revoke("User:worker", right)
    try:
        measure(ward, after)  # the right to write shows when there is something to write
        assert ward.workers["worker-1"].wait(timeout=60) == Exit.STREAM_FAILED, ward.log()[-2000:]
        ward.start()  # it does not stand there and say nothing either
        until(lambda: ended(ward) or "cluster_unavailable" in ward.log(), seconds=60, what="told of after a start")
    finally:
        broker.grant("User:worker", right)
    until(
        lambda: ready_however_often_it_starts(ward) and {before, after} <= scored(ward), seconds=90, what="all scored"
    )
    assert named in ward.log()
    assert PASSWORD not in ward.log()


def test_a_worker_whose_password_is_changed_says_so_and_loses_nothing(broker: GuardedBroker, ward: Ward) -> None:
    measure(ward, "p-before")
    ward.drain()
    broker.add_users(["worker"], PASSWORD[::-1])
    until(lambda: not ward.ready(), seconds=60, what="not ready")
    assert "broker" in failing(ward)
    measure(ward, "p-after")
    broker.add_users(["worker"])
    both = {"p-before", "p-after"}
    until(lambda: ready_however_often_it_starts(ward) and both <= scored(ward), seconds=90, what="both scored")
    assert "SaslAuthenticationFailed" in ward.log()
    assert PASSWORD not in ward.log()


def test_a_notifier_that_may_not_read_says_which_right_is_missing_and_goes_on_with_it(
    broker: GuardedBroker, tmp_path: Path
) -> None:
    port = free_port()
    file = write_receivers(
        tmp_path, '[[receivers]]\nname = "pager"\nurl = "http://127.0.0.1:9/"\nsecret_file = "secret"\n'
    )
    more = {"SEPSIS_MONITOR_HTTP__PORT": str(port), "SEPSIS_MONITOR_LOG__FORMAT": "json"}
    environment = {**os.environ, **Part(broker, "subscriber").environment, **more}
    words = ["notify", str(file), "--state", str(tmp_path / "outbox")]
    log, right = tmp_path / "log", [one for one in of_role("subscriber") if one.name == Topics("icu.").alert_events]
    with log.open("w") as out:
        notifier = subprocess.Popen([sys.executable, "-m", "monitor", *words], env=environment, stderr=out)
    try:
        until(lambda: "last_read_timestamp_seconds 0.0" not in told(port, "metrics"), seconds=60, what="a first read")
        broker.revoke("User:subscriber", right)
        try:
            until(lambda: "kafka" in told(port, "readyz"), seconds=90, what="not ready")
        finally:
            broker.grant("User:subscriber", right)
        until(lambda: told(port, "readyz").strip() == "[]", seconds=90, what="ready again")
    finally:
        notifier.terminate()
        notifier.wait(timeout=60)
    lines = [json.loads(line) for line in log.read_text().splitlines() if "notify_read_failed" in line]
    assert [line["event"] for line in lines] == ["notify_read_failed", "notify_read_failed_over"]
    assert "Read of the topic icu.alerts.events.v1" in lines[0]["meaning"]
    assert len(log.read_text().splitlines()) < 40, log.read_text()[-3000:]


def told(port: int, page: str) -> str:
    """Return what a program answers, also where it is not ready; while it does not answer, what it might before."""
    try:
        return str(urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5).read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return "last_read_timestamp_seconds 0.0"


def ended(ward: Ward) -> bool:
    """Tell whether the worker has ended, and see that it was for a cause after which it is to be started again."""
    code = ward.workers["worker-1"].poll()
    assert code in {None, Exit.STREAM_FAILED, Exit.NOT_OWNER, Exit.STALLED}, ward.log()[-2000:]
    return code is not None


def ready_however_often_it_starts(ward: Ward) -> bool:
    """Tell whether the worker is ready; start it again where it has ended, as its supervisor would."""
    if ended(ward):
        ward.start()
    return ward.ready()
