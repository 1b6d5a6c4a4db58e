"""What a handover says, as rows, as JSON and as a page."""

from __future__ import annotations

from html.parser import HTMLParser

from agents.messages import Admission, Doubt
from monitor.handover import NOBODY, as_html, as_json, sections, shift_lines
from monitor.shift import shift_of
from monitor.ward_now import WardNow
from tests.monitor.alert_examples import alert
from tests.monitor.test_shift import BEGIN, event
from tests.monitor.test_ward_now import NOW, dismissed, score

EMPTY = shift_of([], 0.0, BEGIN, NOW)


def ward() -> WardNow:
    made = WardNow(lambda _: 0.01, lambda _: 0.016)
    made.take_admission(Admission("p1", "admitted", "2026-11-22T08:00:00Z", unit="MICU", bed="<07>"))
    made.take_score("p1", score(risk=0.06))
    made.take_alert("p1", alert(patient_id="p1", raised_at="2026-11-22T09:30:00Z", summary="temperature up & up"))
    made.take_score("p2", score(patient_id="p2", assessable=False, doubt=Doubt("too_old", "heart_rate")))
    made.take_alert(
        "p3:monitoring_lost",
        alert(patient_id="p3", kind="monitoring_lost", since="2026-11-22T11:15:00Z", missing=["heart_rate"]),
    )
    made.take_score("p4", score(patient_id="p4", held_until="2026-11-23T08:00:00Z", risk=0.02))
    made.take_score("p5", score(patient_id="p5", risk=0.02))
    made.take_alert("p5", dismissed("p5"))
    return made


def rows(key: str) -> list[dict[str, str]]:
    (found,) = (section for section in sections(ward(), NOW) if section.key == key)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_each_list_names_its_patients_and_since_when() -> None:
    assert rows("open") == [
        {
            "patient": "p1", "unit/bed": "MICU/<07>", "priority": "high", "state": "active",
            "raised": "22 Nov 09:30 (2 h 30 min)", "risk now": "6.0 %", "why": "temperature up & up",
        }
    ]  # fmt: skip
    assert rows("cannot_assess") == [
        {
            "patient": "p2", "unit/bed": "unknown", "why": "vital signs too old", "would settle it": "heart rate",
            "since": "since at least 22 Nov 11:00 (1 h 00 min)",
        }
    ]  # fmt: skip
    assert rows("unmonitored") == [
        {
            "patient": "p3", "unit/bed": "A-MICU/07", "nothing since": "22 Nov 11:15 (45 min)", "missing": "heart rate",
            "alert": "active",
        }
    ]  # fmt: skip
    assert rows("held") == [{"patient": "p4", "unit/bed": "unknown", "until": "23 Nov 08:00", "risk now": "2.0 %"}]
    assert rows("snoozed") == []
    assert rows("near") == []  # p4 is held, and stands there
    assert rows("dismissed") == [
        {
            "patient": "p5", "unit/bed": "A-MICU/07", "risk now": "2.0 %", "dismissed": "22 Nov 10:30 (1 h 30 min)",
            "reason": "postoperative", "by": "nurse-7",
        }
    ]  # fmt: skip


def test_a_program_gets_numbers_times_and_names() -> None:
    found = as_json(sections(ward(), NOW), EMPTY, unit=None, now=NOW, patients=5)
    at = "2026-11-22T11:00:00Z"
    assert found["open"] == [
        {
            "patient_id": "p1", "unit": "MICU", "bed": "<07>", "priority": "high", "state": "active",
            "raised_at": "2026-11-22T09:30:00Z", "risk": 0.06, "last_risk": 0.06, "last_risk_at": at,
            "why": "temperature up & up",
        }
    ]  # fmt: skip
    assert found["cannot_assess"] == [
        {
            "patient_id": "p2", "unit": None, "bed": None, "doubt": "too_old", "vital_sign": "heart_rate",
            "since": "2026-11-22T11:00:00+00:00", "since_at_least": True,
        }
    ]  # fmt: skip
    assert found["unmonitored"] == [
        {
            "patient_id": "p3", "unit": "A-MICU", "bed": "07", "nothing_since": "2026-11-22T11:15:00Z",
            "missing": ["heart_rate"], "state": "active",
        }
    ]  # fmt: skip
    assert found["held"] == [
        {
            "patient_id": "p4", "unit": None, "bed": None, "held_until": "2026-11-23T08:00:00Z",
            "risk": 0.02, "last_risk": 0.02, "last_risk_at": at,
        }
    ]  # fmt: skip


def test_a_program_gets_no_risk_of_a_patient_who_is_not_monitored() -> None:
    made = WardNow(lambda _: 0.01, lambda _: 0.016)
    made.take_score("p1", score(risk=0.012))
    made.take_alert("p1:monitoring_lost", alert(patient_id="p1", kind="monitoring_lost"))
    found = {section.key: section.values for section in sections(made, NOW)}
    (near,) = found["near"]
    assert (near["risk"], near["last_risk"], near["last_risk_at"]) == (None, 0.012, "2026-11-22T11:00:00Z")
    assert (near["near_since"], near["news2_partial"]) == ("2026-11-22T11:00:00+00:00", 3)
    assert near["near_since_at_least"]


def test_of_nobody_no_list_says_that_all_is_well() -> None:
    nobody = WardNow(lambda _: 0.01, lambda _: 0.016)
    nobody.take_score("p1", score(ended=True))
    found = sections(nobody, NOW)
    assert {section.empty for section in found} == {NOBODY}
    assert as_html(found, EMPTY, title="", note="").count(NOBODY) == len(found)
    assert as_json(found, EMPTY, unit=None, now=NOW, patients=0)["note"] == NOBODY
    assert as_json(sections(ward(), NOW), EMPTY, unit=None, now=NOW, patients=5)["note"] is None


def test_the_risk_of_a_patient_who_is_not_monitored_is_unknown() -> None:
    made = WardNow(lambda _: 0.01, lambda _: 0.016)
    held = score(patient_id="held", held_until="2026-11-23T08:00:00Z", time="2026-11-22T11:15:00Z")
    for said in (score(patient_id="near", risk=0.012, time="2026-11-22T03:00:00Z"), score(patient_id="open"), held):
        made.take_score(said.patient_id, said)
        made.take_alert(f"{said.patient_id}:monitoring_lost", alert(patient_id=said.patient_id, kind="monitoring_lost"))
    made.take_score("snoozed", score(patient_id="snoozed", assessable=False))
    made.take_score("gone", score(patient_id="gone", risk=0.02))
    made.take_alert("gone", dismissed("gone"))
    made.take_alert("gone:monitoring_lost", alert(patient_id="gone", kind="monitoring_lost"))
    made.take_alert("open", alert(patient_id="open"))
    made.take_alert("snoozed", alert(patient_id="snoozed", state="snoozed"))
    found = {section.key: dict(zip(section.columns, section.rows[0], strict=True)) for section in sections(made, NOW)
             if "risk now" in section.columns}  # fmt: skip
    assert {key: row["risk now"] for key, row in found.items()} == {
        "open": "unknown (was 0.1 %, 1 h 00 min ago)",
        "near": "unknown (was 1.2 %, 9 h 00 min ago)",
        "snoozed": "unknown",
        "dismissed": "unknown (was 2.0 %, 1 h 00 min ago)",
        "held": "unknown (was 0.1 %, 45 min ago)",
    }


def test_a_patient_whose_silence_was_dismissed_is_not_monitored_until_something_comes() -> None:
    made = WardNow(lambda _: 0.01, lambda _: 0.016)
    silent = {"kind": "monitoring_lost", "since": "2026-11-22T09:01:00Z", "missing": ["heart_rate"]}
    made.take_score("p1", score(risk=0.012, time="2026-11-22T09:00:00Z"))
    made.take_alert("p1:monitoring_lost", dismissed("p1", **silent))
    found = {section.key: section for section in sections(made, NOW)}
    (row,) = found["unmonitored"].rows
    assert row[2:] == ("22 Nov 09:01 (2 h 59 min)", "heart rate", "dismissed")
    assert found["near"].values[0]["risk"] is None
    made.take_score("p1", score(risk=0.012, time="2026-11-22T11:55:00Z"))
    found = {section.key: section for section in sections(made, NOW)}
    assert (found["unmonitored"].rows, found["near"].values[0]["risk"]) == ((), 0.012)


def test_an_old_risk_is_told_with_its_age() -> None:
    made = WardNow(lambda _: 0.01, lambda _: 0.016)
    for name, time in (("new", "2026-11-22T10:31:00Z"), ("old", "2026-11-22T10:30:00Z")):
        made.take_score(name, score(patient_id=name, risk=0.012, time=time))
    (near,) = (section for section in sections(made, NOW) if section.key == "near")
    assert {row[0]: row[2] for row in near.rows} == {"new": "1.2 %", "old": "1.2 % (1 h 30 min ago)"}


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_the_page_is_whole_and_nothing_in_it_is_taken_for_markup() -> None:
    page = as_html(sections(ward(), NOW), EMPTY, title="Handover of <MICU>", note="a & b")
    parser = _Cells()
    parser.feed(page)
    assert parser.open == []
    assert "MICU/<07>" in parser.cells
    assert "temperature up & up" in parser.cells
    assert "<07>" not in page.replace("&lt;07&gt;", "")


def test_a_shift_without_marks_says_that_nobody_knows() -> None:
    assert any("nobody can say" in line for line in shift_lines(EMPTY))
    marked = shift_of([event("a", 2, "marked", "01:00", verdict="false")], 0.0, BEGIN, NOW)
    assert any("0 true, 1 false, 0 already treated: 0 % were right" in line for line in shift_lines(marked))
