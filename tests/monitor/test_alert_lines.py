"""What a person reads of an alert."""

from __future__ import annotations

from monitor.alert_lines import alert_line, leading_signs
from tests.monitor.alert_examples import alert


def test_a_raised_alert_says_who_where_how_high_and_why() -> None:
    assert alert_line(alert()) == (
        "2026-11-22 10:00:07Z  RAISED        high    p000018  A-MICU/07  risk 6.2 % (threshold 3.0 %)  "
        "temperature 38.9 °C (2 h 03 ago), heart rate 118/min  The risk reached the threshold."
    )


def test_the_summary_stands_for_the_reasons_but_not_for_withheld_ones() -> None:
    summary = "temperature up 1.4 °C over 5 h"
    assert f"3.0 %)  {summary}  The risk" in alert_line(alert(summary=summary))
    assert "3.0 %)  heart rate 118/min" in alert_line(alert(summary="withheld", reasons=[]))


def test_a_resolved_alert_leads_with_what_lowered_the_risk() -> None:
    assert leading_signs(alert(transition="resolved")) == ["oxygen saturation 95 % (5 min ago)"]


def test_without_reasons_the_freshest_vital_signs_lead() -> None:
    signs = leading_signs(alert(reasons=[]))
    assert signs == ["heart rate 118/min", "oxygen saturation 95 % (5 min ago)", "temperature 38.9 °C (2 h 03 ago)"]


def test_a_technical_alert_names_its_kind_and_no_risk() -> None:
    line = alert_line(alert(kind="cannot_assess", source="technical", unit=None, bed=None, reasons=[], vital_signs={}))
    assert line == (
        "2026-11-22 10:00:07Z  RAISED        high    p000018  cannot assess  The risk reached the threshold."
    )


def test_times_keep_their_offset() -> None:
    assert alert_line(alert(occurred_at="2026-11-22T10:00:07+02:00")).startswith("2026-11-22 10:00:07+0200  RAISED")


def test_an_answer_to_a_command_says_why_and_nothing_of_the_patient() -> None:
    said = {"cause": "the patient has no such alert in this stay", "by": "nurse-4", "priority": "low", "unit": None}
    line = alert_line(alert(transition="rejected", sequence=0, state="ended", bed=None, risk=0.0, **said))
    assert line == (
        "2026-11-22 10:00:07Z  REJECTED      low     p000018  the patient has no such alert in this stay  by nurse-4"
    )
