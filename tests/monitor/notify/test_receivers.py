"""Receivers' files: what is read, what is wanted, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import Failure
from monitor.notify.receivers import load_receivers
from tests.monitor.alert_examples import alert
from tests.monitor.notify.hooks import SECRET, write_receivers

_ONE = '[[receivers]]\nname = "pager"\nurl = "https://pager.example/"\nsecret_file = "secret"\n'
_TWO = _ONE + '[[receivers]]\nname = "nurse"\nurl = "https://nurse.example/"\nsecret_file = "secret"\n'


def test_a_receiver_hears_all_but_test_alerts_unless_it_says_otherwise(tmp_path: Path) -> None:
    (pager,) = load_receivers(write_receivers(tmp_path, _ONE))
    assert pager.secrets == (SECRET,)
    assert pager.wants(alert())
    assert pager.wants(alert(transition="resolved", kind="cannot_assess", unit=None))
    assert not pager.wants(alert(test=True))


@pytest.mark.parametrize(
    ("line", "heard", "unheard"),
    [
        ('kinds = ["monitoring_lost"]', {"kind": "monitoring_lost"}, {"kind": "sepsis_risk"}),
        ('units = ["A-MICU"]', {"unit": "A-MICU"}, {"unit": None}),
        ('priorities = ["high"]', {"priority": "high"}, {"priority": "low"}),
        ('transitions = ["raised"]', {"transition": "raised"}, {"transition": "updated"}),
    ],
)
def test_a_receiver_hears_what_it_names(
    tmp_path: Path, line: str, heard: dict[str, object], unheard: dict[str, object]
) -> None:
    (pager,) = load_receivers(write_receivers(tmp_path, _ONE + line))
    assert pager.wants(alert(**heard))
    assert not pager.wants(alert(**unheard))


def test_a_receiver_may_hear_test_alerts(tmp_path: Path) -> None:
    (pager,) = load_receivers(write_receivers(tmp_path, _ONE + "tests = true"))
    assert pager.wants(alert(test=True))


def test_a_receiver_of_what_others_left_hears_nothing_by_itself(tmp_path: Path) -> None:
    (pager,) = load_receivers(write_receivers(tmp_path, _ONE + "only_escalated = true"))
    assert not pager.wants(alert())
    assert pager.admits(alert())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing required field `receivers`"),
        ("receivers = []", "names no receiver"),
        (_ONE + "colour = 1", "`colour`"),
        (_ONE + 'kinds = ["sepsis"]', "kinds"),
        (_ONE + "escalate_minutes = 0", "escalate_minutes"),
        (_ONE + "stale_minutes = -1", "stale_minutes"),
        (_ONE + "stale_minutes = nan", "stale_minutes"),
        (_ONE + _ONE, "two receivers are called pager"),
        (_ONE + 'escalate_to = "doctor"', "names doctor, which is no receiver"),
        (_ONE + 'escalate_to = "pager"', "leads back to pager"),
        (_ONE.replace("https:", "http:"), "plain_http"),
        (_ONE.replace("https://pager", "https://me:word@pager"), "should not hold a password"),
        (_ONE.replace("https://pager.example/", "pager"), "should begin with https://"),
        (_ONE.replace('"secret"', '"nowhere"'), "cannot be read"),
        (_ONE.replace('"pager"', '"the pager"'), "name"),
        (_ONE + 'ca_file = "nowhere.pem"', "not there"),
        (_ONE + "[", "not valid"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Failure) as caught:
        load_receivers(write_receivers(tmp_path, text))
    assert words in str(caught.value)
    assert "word" not in str(caught.value).replace("password", "")


def test_a_circle_of_receivers_is_refused(tmp_path: Path) -> None:
    first, second = _TWO.split("[[receivers]]")[1:]
    text = f'[[receivers]]{first}escalate_to = "nurse"\n[[receivers]]{second}escalate_to = "pager"\n'
    with pytest.raises(Failure, match="leads back to"):
        load_receivers(write_receivers(tmp_path, text))


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    file = write_receivers(tmp_path, _ONE)
    (tmp_path / "secret").write_bytes(b"0123456789abcdefg\nshort\n")
    with pytest.raises(Failure, match="16 characters or more"):
        load_receivers(file)
