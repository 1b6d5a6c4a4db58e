"""The AsyncAPI document is that of the classes; its examples mean to the schemas what they mean to the decoders."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from agents.checking import Limits
from agents.control import CommandFaulty
from agents.decoding import decode_admission, decode_command, decode_log_record
from agents.messages import UnitThreshold
from agents.rejection import Rejection
from agents.topics import Topics, topic_specs
from models.vital_signs import NAMES
from monitor.asyncapi import document
from monitor.message_examples import INVALID, VALID
from tests.agents.logs import BUSY, START, admission, observation, settings_record, threshold_record, work_off
from tests.agents.told import EVENTFUL_UNITS
from tests.monitor.alert_examples import alert

_DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.json"
_DECODERS = {"Observation": decode_log_record, "Admission": decode_admission, "Command": decode_command}
_NOW_MS = round(datetime(2026, 11, 23, tzinfo=UTC).timestamp() * 1000)


def cases(examples: Any) -> list[Any]:
    return [pytest.param(name, value, id=f"{name}: {why}") for name, some in examples.items() for why, value in some]


def validate(name: str, value: object) -> None:
    """Hold a value against a schema of the document as it is written down."""
    written = json.loads(_DOCUMENT.read_text())
    schema = {"$ref": f"#/components/schemas/{name}", "components": written["components"]}
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)


def decoded(name: str, value: dict[str, Any]) -> object:
    if name == "UnitThreshold":
        try:
            return msgspec.json.decode(json.dumps(value), type=UnitThreshold)
        except msgspec.ValidationError as error:
            return Rejection("malformed", str(error))
    key = str(value.get("patient_id", "")).encode()
    return _DECODERS[name](key, json.dumps(value).encode(), (), _NOW_MS, Limits())


def test_the_document_is_the_classes() -> None:
    assert json.loads(_DOCUMENT.read_text()) == document(), (
        "write it anew: python -m monitor.asyncapi > docs/asyncapi.json"
    )


@pytest.mark.parametrize(("name", "value"), cases(VALID))
def test_valid_examples_are_taken_by_both(name: str, value: dict[str, Any]) -> None:
    validate(name, value)
    assert not isinstance(decoded(name, value), Rejection | CommandFaulty)


@pytest.mark.parametrize(("name", "value"), cases(INVALID))
def test_invalid_examples_are_refused_by_both(name: str, value: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(name, value)
    assert isinstance(decoded(name, value), Rejection | CommandFaulty)


def test_what_workers_write_is_as_the_document_says() -> None:
    records = [admission("p", "admitted", START), observation("p", START, heart_rate=150, temperature=39.5)]
    run = work_off(records)
    for name, some in (("RiskScore", run.scores), ("AlertEvent", [event for _, event in run.alerts])):
        for one in some:
            validate(name, json.loads(msgspec.json.encode(one)))
    assert run.scores
    validate("AlertEvent", json.loads(msgspec.json.encode(alert(doubt=None, summary="temperature up"))))
    with pytest.raises(jsonschema.ValidationError):
        validate("AlertEvent", json.loads(msgspec.json.encode(alert(state="asleep"))))
    for name, record in (
        ("Settings", settings_record(BUSY, START, EVENTFUL_UNITS)),
        ("UnitThreshold", threshold_record("MICU", 0.05, EVENTFUL_UNITS["MICU"])),
    ):
        validate(name, json.loads(record.value or b""))


def test_every_topic_is_a_channel_and_every_reference_leads_somewhere() -> None:
    written = document()
    addresses = {channel["address"] for channel in written["channels"].values()}
    assert addresses == {spec.name for spec in topic_specs(Topics())}
    for reference in references(written):
        target: Any = written
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
    assert set(NAMES) <= written["components"]["schemas"]["Observation"]["properties"].keys()


def references(tree: Any) -> list[str]:
    if isinstance(tree, dict):
        mine = [tree["$ref"]] if "$ref" in tree else []
        return mine + [found for value in tree.values() for found in references(value)]
    return [found for value in tree for found in references(value)] if isinstance(tree, list) else []
