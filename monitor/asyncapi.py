"""The contract for machines, an AsyncAPI 3 document: `python -m monitor.asyncapi` prints docs/asyncapi.json.

The schemas come from the classes that the code decodes and encodes with. What decoders check beyond the types, and a
JSON Schema can say, is added to what others write.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from agents import messages
from agents.checking import PATIENT_ID
from agents.topics import Topics, topic_specs
from models.vital_signs import VITAL_SIGNS
from monitor.message_examples import VALID

__all__ = ["document"]

_RECEIVE, _SEND = "receive", "send"  # what workers do, and of thresholds the controller of the live budget
_CHANNELS: tuple[tuple[str, tuple[type, ...], tuple[str, ...]], ...] = (  # field of Topics, messages, actions
    (
        "observations",
        (messages.Observation, messages.Clock, messages.Settings, messages.UnitThreshold),
        (_RECEIVE, _SEND),
    ),
    ("admissions", (messages.Admission,), (_RECEIVE,)),
    ("scores", (messages.RiskScore,), (_SEND,)),
    ("alert_events", (messages.AlertEvent,), (_SEND,)),
    ("alert_state", (messages.AlertEvent,), (_SEND,)),
    ("alert_commands", (messages.Command,), (_RECEIVE,)),
    ("budgets", (messages.UnitThreshold,), (_RECEIVE, _SEND)),
)
_COMMAND_NEEDS = {"snooze": "minutes", "dismiss": "reason", "mark": "verdict"}
_OFFSET = r"([Zz]|[+-][0-9]{2}:[0-9]{2})$"


def document() -> dict[str, Any]:
    """Return the document as plain values."""
    specs = {spec.name: spec for spec in topic_specs(Topics())}
    addresses = {field: str(getattr(Topics(), field)) for field, _, _ in _CHANNELS}
    addresses["rejected"] = Topics().rejected
    schemas = _schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "sepsis-monitor",
            "version": "1",
            "description": "Topics of sepsis-monitor. topics.prefix goes before every address. docs/contract.md says "
            "what the messages mean.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            field: {
                "address": address,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages_of(field)},
                "bindings": {"kafka": {"topicConfiguration": _bound(dict(specs[address].config))}},
            }
            for field, address in addresses.items()
        },
        "operations": {
            f"{action}_{field}": {"action": action, "channel": {"$ref": f"#/channels/{field}"}}
            for field, _, actions in _CHANNELS
            for action in actions
        }
        | {"send_rejected": {"action": _SEND, "channel": {"$ref": "#/channels/rejected"}}},
        "components": {"messages": _messages(), "schemas": schemas},
    }


def _messages_of(field: str) -> list[str]:
    return next((_names(types) for name, types, _ in _CHANNELS if name == field), ["Rejected"])


def _names(types: tuple[type, ...]) -> list[str]:
    return [one.__name__ for one in types]


def _bound(config: dict[str, str]) -> dict[str, Any]:
    """Return a topic's settings in the form of AsyncAPI's Kafka binding."""
    bound: dict[str, Any] = {name: int(value) if value.isdecimal() else value for name, value in config.items()}
    if "cleanup.policy" in bound:
        bound["cleanup.policy"] = str(bound["cleanup.policy"]).split(",")
    known = {"cleanup.policy", "retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes"}
    return {name: value for name, value in bound.items() if name in known}


def _messages() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _, types, _ in _CHANNELS:
        for one in types:
            name = one.__name__
            found[name] = {
                "contentType": "application/json",
                "payload": {"$ref": f"#/components/schemas/{name}"},
                "bindings": {"kafka": {"key": {"type": "string", "description": "the patient id"}}},
            }
            if name in VALID:
                found[name]["examples"] = [{"summary": shows, "payload": value} for shows, value in VALID[name]]
    found["Settings"]["bindings"] = {"kafka": {"key": {"type": "null"}}}
    unit = {"type": ["string", "null"], "description": "the unit; null in the patients' logs"}
    found["UnitThreshold"]["bindings"] = {"kafka": {"key": unit}}
    found["Rejected"] = {
        "contentType": "application/octet-stream",
        "summary": "A refused record with its own key, value and headers, and the headers rejected_* added.",
    }
    return found


def _schemas() -> dict[str, Any]:
    types = dict.fromkeys(one for _, some, _ in _CHANNELS for one in some)
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for name in ("Observation", "Admission", "Command"):
        properties = schemas[name]["properties"]
        properties["patient_id"]["pattern"] = f"^{PATIENT_ID.pattern}$"
        properties["time"] |= {"format": "date-time", "pattern": _OFFSET}
        properties["schema_version"]["const"] = messages.SCHEMA_VERSION
    observation = schemas["Observation"]
    for sign in VITAL_SIGNS:
        unit = f"{sign.label}, {sign.unit}; LOINC {sign.loinc}; used from {sign.low:g} to {sign.high:g}"
        observation["properties"][sign.name]["description"] = unit
    observation["anyOf"] = [
        {"required": [sign.name], "properties": {sign.name: {"type": "number"}}} for sign in VITAL_SIGNS
    ]
    schemas["Command"]["allOf"] = [rule for kind, field in _COMMAND_NEEDS.items() for rule in _needs(kind, field)]
    return dict(sorted(schemas.items()))


def _needs(kind: str, field: str) -> list[dict[str, Any]]:
    """Return that a command of a kind has a field, and that no other has it."""
    of_kind = {"properties": {"type": {"const": kind}}, "required": ["type"]}
    has = {"required": [field], "properties": {field: {"not": {"type": "null"}}}}
    return [{"if": of_kind, "then": has, "else": {"properties": {field: {"type": "null"}}}}]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
