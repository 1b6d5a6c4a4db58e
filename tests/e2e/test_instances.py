"""Two workers of one name: the newer one goes on, the other ends and says why."""

from __future__ import annotations

import signal
from pathlib import Path

from agents.exits import Exit
from monitor import clients
from tests.e2e.ward import Ward, open_ward
from tests.waiting import until


def test_a_worker_whose_name_another_one_has_taken_ends_and_names_the_setting(
    apache_kafka: str, tmp_path: Path
) -> None:
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        first = ward.workers["worker-1"]
        try:
            ward.start()  # the same instance again, its log after the first one's
            assert first.wait(60) == Exit.INSTANCE_TAKEN, ward.log()[-3000:]
            (line,) = [line for line in ward.log().splitlines() if "instance_taken" in line]
            assert "code=79" in line
            assert "worker.instance" in line
            ward.wait_ready()
            assert ward.terminate() == Exit.DRAINED
        finally:
            first.kill()
            first.wait()


def test_a_worker_that_the_group_has_given_up_joins_again(apache_kafka: str, tmp_path: Path) -> None:
    """Its member id is as unknown to the broker as that of a worker whose name is taken; nobody has taken it."""
    with open_ward(apache_kafka, tmp_path) as ward:
        ward.start()
        ward.wait_ready()
        ward.drain()  # with a record in work it would end by itself, with 75: that may be another's by now
        worker = ward.workers["worker-1"]
        worker.send_signal(signal.SIGSTOP)
        until(lambda: not _members(ward), what="the session run out")
        worker.send_signal(signal.SIGCONT)
        until(lambda: _members(ward), what="the worker back in the group")
        ward.wait_ready()
        assert ward.terminate() == Exit.DRAINED


def _members(ward: Ward) -> int:
    admin = clients.admin(ward.settings.kafka, ward.bootstrap)
    try:
        (group,) = admin.describe_groups([ward.settings.worker.group]).values()
        return len(group["members"])
    finally:
        admin.close()
