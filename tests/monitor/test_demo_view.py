"""The view of a fixed ward, drawn without a terminal."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from monitor.demo_feed import Latency
from monitor.demo_result import DemoResult, summary_rows
from monitor.demo_view import Picture, draw
from monitor.demo_ward import Ward
from tests.monitor.demo_examples import alert_at, score, stay

PICTURE = Picture("sepsis-monitor demo", sent=40, total=100, rate=123.4, threshold=0.03)


def ward() -> Ward:
    ward = Ward([stay("calm"), stay("worse"), stay("gone", onset=54), stay("quiet")])
    ward.take_score(score("calm", risk=0.002, closed=(0, 1, 2)))
    ward.take_score(score("worse", risk=0.062, step=14, closed=tuple(range(14))))
    ward.take_alert(alert_at(14, patient="worse", number=1))
    ward.take_alert(alert_at(47.5, patient="gone", number=2))
    ward.take_score(score("gone", ended=True))
    ward.take_score(score("quiet", ended=True))
    return ward


def drawn(width: int, height: int, shown: Ward | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(draw(PICTURE, ward() if shown is None else shown, height=height))
    return capture.get().splitlines()


def line_with(lines: list[str], *words: str) -> str:
    (found,) = [line for line in lines if all(word in line for word in words)]
    return found


def test_the_view_shows_who_worries_alerts_and_what_became_of_the_ended() -> None:
    lines = drawn(100, 32)
    assert "40 of 100 observations" in lines[0]
    assert "2 watched   1 alerts open" in lines[1]
    assert "123 events/s" in lines[1]
    assert "6.2 %  ".strip() in line_with(lines, "worse", "● ALERT")
    assert line_with(lines, "calm", "0.2 %")
    assert line_with(lines, "RAISED", "worse", "temperature 38.9 °C")
    assert line_with(lines, "alert before onset 1", "missed 0", "quiet 1")
    assert line_with(lines, "gone", "septic at hour 54, alert 6.5 h before onset")
    text = "\n".join(lines)
    assert text.index("worse") < text.index("calm")


def test_the_record_is_not_told_before_the_stay_has_ended() -> None:
    shown = Ward([stay("septic", onset=54)])
    shown.take_score(score("septic"))
    assert "54" not in "\n".join(drawn(100, 32, shown))


def test_the_view_fits_the_terminal() -> None:
    for width, height in ((80, 24), (100, 32), (200, 60)):
        lines = drawn(width, height)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width


def test_an_empty_ward_can_be_drawn() -> None:
    assert "0 watched" in drawn(80, 24, Ward([]))[1]


def test_the_summary_counts_stays_and_the_burden() -> None:
    shown = ward()
    shown.end_all()
    result = DemoResult(
        stays=4,
        patient_hours=48,
        observations_sent=40,
        accepted=39,
        rejected=1,
        steps_closed=17,
        alerts=shown.transitions(),
        technical_alerts=shown.technical(),
        seconds=2.0,
        latency=Latency(12.0, 80.0),
        alerts_file=Path("alerts.jsonl"),
        ended=tuple(shown.ended),
    )
    rows = {what.strip(): value for what, value in summary_rows(result)}
    assert rows["observations"] == "40 sent, 39 accepted, 1 refusals"
    assert rows["alert events"] == "2 raised"
    assert rows["alert before onset"] == "1 (median 6.5 h before)"
    assert rows["false alert"] == "1 (0.50 such alerts a patient-day)"
    assert rows["quiet"] == "2"
    assert rows["time"] == "2.0 s, 20 observations a second"
    plain = result.as_json()
    assert plain["latency_ms"] == {"p50": 12.0, "p99": 80.0}
    assert plain["alerts_file"] == "alerts.jsonl"
