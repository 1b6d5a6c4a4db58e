"""The README's subscriber, as it stands there, on a real broker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from agents.topics import Topics, topic_specs
from monitor import clients
from monitor.settings import load_settings
from monitor.topic_admin import create_topics
from tests.monitor.alert_examples import alert

_README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_subscriber_pages_once_for_each_alert(embedded_kafka: str, tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", _README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(program.splitlines()) <= 30
    settings = load_settings(None, {"kafka.bootstrap_servers": embedded_kafka, "topics.prefix": "readme."})
    create_topics(embedded_kafka, settings, topic_specs(Topics("readme.")))
    raised = alert(summary="temperature up 1.4 °C over 5 h")
    events = [
        raised, raised, alert(event_id="t", test=True), alert(event_id="u", transition="updated"),
        alert(event_id="x", transition="rejected", state="ended", cause="the patient has no such alert"),
        alert(event_id="m", transition="marked", state="ended", verdict="false"),
        alert(event_id="l", kind="monitoring_lost", transition="raised"),
        alert(event_id="k", kind="monitoring_lost", transition="resolved", state="ended"),
        alert(event_id="r", transition="resolved", state="ended", cause="the risk fell"),
    ]  # fmt: skip
    producer = clients.producer(settings.kafka, embedded_kafka)
    for event in events:
        producer.send(Topics("readme.").alert_events, key=b"p", value=msgspec.json.encode(event))
    producer.close()
    environment = {**os.environ, "BROKERS": embedded_kafka, "ALERTS_TOPIC": Topics("readme.").alert_events}
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(2)]
    finally:
        process.kill()
        rest, _ = process.communicate()
    assert lines == ["PAGE high A-MICU 07 temperature up 1.4 °C over 5 h", "over A-MICU 07 the risk fell"]
    assert rest == ""
