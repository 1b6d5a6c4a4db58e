"""The commands `handover` and `board` on a real broker."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from click.testing import CliRunner, Result

from agents.messages import Admission, Identity, UnitThreshold
from agents.policy import Budget, load_policy
from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.cli import main
from monitor.policy_file import policy_toml
from monitor.settings import load_settings
from monitor.topic_admin import create_topics
from tests.monitor.alert_examples import alert
from tests.monitor.test_ward_now import score


def run(bootstrap: str, prefix: str, *arguments: str, code: int = 0) -> Result:
    environment = {
        "SEPSIS_MONITOR_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "SEPSIS_MONITOR_TOPICS__PREFIX": prefix,
    }
    result = CliRunner().invoke(main, [*arguments], env=environment)
    assert result.exit_code == code, result.output
    return result


def handover(bootstrap: str, prefix: str, *arguments: str) -> Result:
    return run(bootstrap, prefix, "handover", *arguments)


def test_a_ward_is_handed_over_from_its_topics(embedded_kafka: str, tmp_path: Path) -> None:
    prefix = f"{uuid.uuid4().hex}."
    settings = load_settings(None, {"kafka.bootstrap_servers": embedded_kafka, "topics.prefix": prefix})
    topics = Topics(prefix)
    create_topics(embedded_kafka, settings, topic_specs(topics))
    empty = json.loads(handover(embedded_kafka, prefix, "--json").stdout)
    assert (empty["open"], empty["patients"], empty["note"]) == ([], 0, "Nobody is known here.")
    assert "those that are known: none" in run(embedded_kafka, prefix, "handover", "--unit", "MICU", code=1).output
    assert empty["last_shift"]["raised"] == 0

    now = datetime.now(UTC)
    ago = (now - timedelta(hours=1)).isoformat()
    raised = alert(patient_id="p1", occurred_at=ago, raised_at=ago, unit="MICU")
    old = alert(patient_id="p1", event_id="old", alert_id="old", occurred_at=(now - timedelta(days=2)).isoformat())
    producer = clients.producer(settings.kafka, embedded_kafka)
    for topic, key, value in [
        (topics.admissions, b"p1", Admission("p1", "admitted", ago, unit="MICU", bed="4")),
        (topics.admissions, b"p2", Admission("p2", "admitted", ago, unit="SICU", bed="1")),
        (topics.scores, b"p1", score(time=now.isoformat(), risk=0.3)),
        (topics.scores, b"p2", score(patient_id="p2", time=now.isoformat(), risk=0.019)),
        (topics.alert_state, b"p1", raised),
        (topics.alert_events, b"p1", old),
        (topics.alert_events, b"p1", raised),
    ]:
        producer.send(topic, key=key, value=msgspec.json.encode(value))
    producer.send(topics.scores, key=b"p3", value=b"no score")
    producer.close()

    page = tmp_path / "handover.html"
    result = handover(embedded_kafka, prefix, "--json", "--html", str(page))
    found = json.loads(result.stdout)
    assert [row["patient_id"] for row in found["open"]] == ["p1"]
    assert [row["patient_id"] for row in found["near"]] == ["p2"]
    assert found["last_shift"]["raised"] == 1
    assert "MICU/4" in page.read_text(encoding="utf-8")
    assert "1 records could not be read" in result.stderr
    micu = json.loads(handover(embedded_kafka, prefix, "--json", "--unit", "MICU").stdout)
    assert ([row["patient_id"] for row in micu["open"]], micu["near"]) == (["p1"], [])
    for command in ("handover", "board"):
        refused = run(embedded_kafka, prefix, command, "--unit", "MUCI", code=1)
        assert "nothing is known of a unit 'MUCI'; those that are known: MICU, SICU" in refused.output
    _days_go_by_where_patients_were(embedded_kafka, prefix, now)
    _near_goes_by_units(embedded_kafka, prefix, tmp_path)
    early = (now - timedelta(hours=2)).isoformat()
    assert json.loads(handover(embedded_kafka, prefix, "--json", "--at", early).stdout)["open"] == []
    text = handover(embedded_kafka, prefix, "--unit", "MICU").stdout
    assert "Open alerts (1)" in text
    assert "Nobody is near an alert." in text
    shown = run(embedded_kafka, prefix, "board").stdout
    assert "2 patients" in shown
    assert "Near an alert (1)" in shown


def _days_go_by_where_patients_were(bootstrap: str, prefix: str, now: datetime) -> None:
    """Bring p2 to the MICU for the last half hour."""
    producer = clients.producer(load_settings(None, {"kafka.bootstrap_servers": bootstrap}).kafka, bootstrap)
    at = (now - timedelta(minutes=30)).isoformat()
    moved = Admission("p2", "transferred", at, unit="MICU", bed="5")
    producer.send(Topics(prefix).admissions, key=b"p2", value=msgspec.json.encode(moved))
    producer.flush()
    units = {
        unit: json.loads(handover(bootstrap, prefix, "--json", "--unit", unit).stdout)["last_shift"]
        for unit in ("MICU", "SICU")
    }
    assert {unit: round(each["patient_days"] * 24, 1) for unit, each in units.items()} == {"MICU": 5.5, "SICU": 4.5}
    back = Admission("p2", "transferred", now.isoformat(), unit="SICU", bed="1")
    producer.send(Topics(prefix).admissions, key=b"p2", value=msgspec.json.encode(back))
    producer.close()


def _near_goes_by_units(bootstrap: str, prefix: str, folder: Path) -> None:
    """Give units policies of their own, and then one of them another threshold."""
    shipped = load_policy()
    own = msgspec.structs.replace(shipped, raise_threshold=0.05, budget=Budget(0.5, 0.03, 0.06))
    (folder / "own.toml").write_text(policy_toml(own, "by hand"), encoding="utf-8")
    (folder / "site.toml").write_text(f"[policy.units]\nSICU = '{folder / 'own.toml'}'\n", encoding="utf-8")
    options = ["--config", str(folder / "site.toml"), "handover"]
    assert json.loads(run(bootstrap, prefix, *options, "--json").stdout)["near"] == []
    assert "(SICU at 0.0500)" in " ".join(run(bootstrap, prefix, *options).stdout.split())
    named = load_policy(folder / "own.toml")
    said = UnitThreshold(
        "SICU", 0.03, "2026-11-22T10:00:00Z", 3, 4.5, Identity("own", "1", named.digest), "2026-11-22T10:00:00Z"
    )
    producer = clients.producer(load_settings(None, {"kafka.bootstrap_servers": bootstrap}).kafka, bootstrap)
    producer.send(Topics(prefix).budgets, key=b"SICU", value=msgspec.json.encode(said))
    producer.close()
    found = json.loads(run(bootstrap, prefix, *options, "--json").stdout)
    assert [row["patient_id"] for row in found["near"]] == ["p2"]
    assert "(SICU at 0.0300)" in " ".join(run(bootstrap, prefix, *options).stdout.split())


def test_a_time_that_is_none_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["handover", "--at", "yesterday"])
    assert result.exit_code == 2
    assert "is no time" in result.output
