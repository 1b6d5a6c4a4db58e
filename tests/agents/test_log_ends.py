"""Where logs end: asked now and then, and again and again where one seems to have become shorter."""

from __future__ import annotations

from faust.types.tuples import TP

from agents.log_ends import LogEnds

P, Q = TP("log", 0), TP("log", 1)


def test_the_ends_are_those_that_were_said_last() -> None:
    ends = LogEnds()
    assert ends.end(P) == 0
    assert ends.take({P: 5, Q: None}, {P: 5, Q: 7}) is None
    assert (ends.end(P), ends.end(Q)) == (5, 0)
    ends.clear()
    assert ends.end(P) == 0


def test_brokers_are_asked_now_and_then() -> None:
    ends = LogEnds()
    assert [ends.due(now) for now in (0.0, 1.0, 19.0, 20.0, 21.0)] == [True, False, False, True, False]


def test_a_log_that_has_become_shorter_is_believed_after_several_questions() -> None:
    ends, now, told = LogEnds(), 100.0, list[TP | None]()
    while not told or told[-1] is None:
        assert len(told) < 10
        assert ends.due(now)
        told.append(ends.take({P: 9, Q: 4}, {P: 9, Q: 5}))
        now += 1.0
    assert told == [None, None, None, None, Q]


def test_a_log_that_has_caught_up_meanwhile_is_not_short() -> None:
    ends = LogEnds()
    for end in (4, 4, 4, 4, 5, 4, 4, 4, 4):
        assert ends.take({Q: end}, {Q: 5}) is None
