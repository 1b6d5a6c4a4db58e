"""The lease after a commit: it holds for seconds, by the moment at which the commit was asked for."""

from __future__ import annotations

import time

from agents.ownership import Lease


def test_nothing_holds_before_the_first_commit() -> None:
    assert not Lease().holds()


def test_a_commit_just_now_holds() -> None:
    lease = Lease()
    lease.renew(Lease.clock())
    assert lease.holds()


def test_a_commit_that_was_asked_for_long_ago_does_not_hold() -> None:
    """A process that was stopped between asking and the answer must not count the answer as fresh."""
    lease = Lease()
    lease.renew(Lease.clock() - 3.001)
    assert not lease.holds()
    lease.renew(Lease.clock() - 2)
    assert lease.holds()


def test_an_older_answer_does_not_shorten_the_lease() -> None:
    lease = Lease()
    lease.renew(Lease.clock())
    lease.renew(Lease.clock() - 60)
    assert lease.holds()


def test_the_clock_runs_while_the_machine_sleeps() -> None:
    assert abs(Lease.clock() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1
