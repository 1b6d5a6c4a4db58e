"""A deployment as it is operated: workers, a canary and a notifier, with real Prometheus and Alertmanager on top.

The shipped configuration is used, made a hundred times faster: every duration in it is divided, addresses are those of
this machine, receivers are webhooks of the test.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]

from agents.policy import Budget, load_policy
from monitor.brokers.probe import free_port
from monitor.brokers.process import BrokerProcess
from monitor.policy_file import policy_toml
from tests.brokers import new_broker
from tests.deploy.promql import DEPLOY
from tests.e2e.ward import Ward, open_ward
from tests.prometheus import furnish, tool
from tests.waiting import until

__all__ = ["FASTER", "Feed", "Operations", "Webhooks", "faster", "open_operations"]

FASTER = 100
_SCRAPE = "500ms"  # not divided: 0.15 s would keep a small machine busy with scraping alone
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?<![\w:.])(\d+)(ms|s|m|h|d)\b")
_WINDOW_HOURS = 6.0
_FEED_SECONDS = 1200  # the one threshold of a rule that is a length of time and should come within a test


def faster(text: str) -> str:
    """Return configuration or rules with every duration divided by FASTER, but for those in names of series."""

    def divided(found: re.Match[str]) -> str:
        return f"{int(found[1]) * _UNITS[found[2]] // FASTER}ms"

    return _DURATION.sub(divided, text).replace(f"> {_FEED_SECONDS})", f"> {_FEED_SECONDS / FASTER:g})")


class Webhooks:
    """A receiver of Alertmanager's webhooks: keeps every alert that arrives, by the path it was posted to."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, dict[str, Any]]] = []
        arrived = self.arrived

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                arrived.extend((self.path, alert) for alert in body.get("alerts", [body]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def alert(self, name: str, path: str | None = None, **labels: str) -> dict[str, Any] | None:
        """Return the first firing alert of a name with these labels that arrived (at a path), if any has."""
        for where, alert in list(self.arrived):
            told = alert.get("labels", {})
            same = {"alertname": name, **labels}.items() <= told.items() and path in {None, where}
            if same and alert["status"] == "firing":
                return alert
        return None

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Feed:
    """Bedside monitors: a few patients who are measured all the time, until `stop`."""

    def __init__(self, ward: Ward, patients: int = 10) -> None:
        self._ward, self._patients = ward, patients
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        with self._ward.producer() as producer:
            tick = 0
            while not self._stopping.wait(0.25):
                tick += 1
                for number in range(self._patients):
                    said = self._measured(number, tick)
                    producer.send(self._ward.topics.observations, key=said["patient_id"].encode(), value=_json(said))

    @staticmethod
    def _measured(number: int, tick: int) -> dict[str, Any]:
        ill = 1.6 if number == 0 else 1.0
        return {
            "patient_id": f"live{number:02}",
            "time": datetime.now(UTC).isoformat(),
            "heart_rate": round((74 + number + tick % 7) * ill),
            "respiratory_rate": round((14 + number % 5) * ill * ill),
            "temperature": 36.6 + 0.1 * (number % 6) + (2.4 if number == 0 else 0),
            "oxygen_saturation": 97 - (8 if number == 0 else number % 3),
        }


def _json(said: object) -> bytes:
    return json.dumps(said).encode()


@dataclass
class Operations:
    """A running deployment and what watches it."""

    ward: Ward
    broker: BrokerProcess
    folder: Path
    webhooks: Webhooks
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a program that is killed at the end; its output goes to a file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **(environment or {})}
            )

    def start_command(self, name: str, *arguments: str) -> None:
        """Start one of the product's programs beside the workers, with a port of its own."""
        port = self.ports[name] = free_port()
        environment = {**self.ward.environment, "SEPSIS_MONITOR_HTTP__PORT": str(port)}
        self.start(name, [sys.executable, "-m", "monitor", *arguments], environment)

    def start_notifier(self) -> None:
        """Start a notifier that posts clinical alerts to a path of their own."""
        receivers, secret = self.folder / "receivers.toml", self.folder / "hook.secret"
        secret.write_text("a secret of a test\n")
        url = f"{self.webhooks.url}/clinical"
        receivers.write_text(f'[[receivers]]\nname = "pager"\nurl = "{url}"\nsecret_file = "{secret}"\n')
        self.start_command("notify", "notify", str(receivers), "--state", str(self.folder / "outbox"))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus says to an expression now: series with their labels and `value`."""
        return self._ask("query", query=expression)

    def query_range(self, expression: str, seconds: float, step: float) -> list[dict[str, Any]]:
        """Return what it says over the last so many seconds: series with their labels and `values`."""
        now = time.time()
        return self._ask("query_range", query=expression, start=str(now - seconds), end=str(now), step=str(step))

    def _ask(self, what: str, **parameters: str) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Return the value of an expression that gives one series; None where it gives none or cannot be asked yet."""
        with suppress(OSError):
            for series in self.query(expression):
                return float(series["value"][1])
        return None

    def log(self, name: str) -> str:
        """Return what a program has said."""
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def watch(self) -> None:
        """Start Prometheus and Alertmanager on what runs by now."""
        ports = self.ports
        ports["prometheus"], ports["alertmanager"] = free_port(), free_port()
        self._configure()
        furnish(self.folder)
        listen = "--web.listen-address=127.0.0.1:"
        self.start(
            "alertmanager",
            [tool("prometheus-alertmanager"), "--config.file=alertmanager.yml", "--storage.path=alerts",
             f"{listen}{ports['alertmanager']}", "--cluster.listen-address="],
        )  # fmt: skip
        self.start(
            "prometheus",
            [tool("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=series",
             f"{listen}{ports['prometheus']}", "--rules.alert.resend-delay=1s"],
        )  # fmt: skip
        scraped = len(self.ward.ports) + len(set(ports) & {"canary", "notify", "budget"})
        until(lambda: self.value("sum(up)") == scraped, seconds=30, what=f"all scraped ({self.log('prometheus')})")

    def _configure(self) -> None:
        shipped, ports = DEPLOY / "prometheus", self.ports
        for part in ("rules", "targets"):
            (self.folder / part).mkdir()
        for path in (shipped / "rules").glob("*.yml"):
            (self.folder / "rules" / path.name).write_text(faster(path.read_text()))
        targets = {
            "alertmanager": [ports["alertmanager"]],
            "workers": list(self.ward.ports.values()),
            "canary": [ports["canary"]] if "canary" in ports else [],
            "notify": [ports["notify"]] if "notify" in ports else [],
            "budget": [ports["budget"]] if "budget" in ports else [],
        }
        for name, some in targets.items():
            told = [{"targets": [f"127.0.0.1:{port}" for port in some]}]
            (self.folder / "targets" / f"{name}.yml").write_text(yaml.safe_dump(told))
        prometheus = yaml.safe_load(faster((shipped / "prometheus.yml").read_text()))
        prometheus["global"] |= {"scrape_interval": _SCRAPE, "scrape_timeout": _SCRAPE, "evaluation_interval": _SCRAPE}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(prometheus))
        alertmanager = yaml.safe_load(faster((shipped / "alertmanager.yml").read_text()))
        for receiver in alertmanager["receivers"]:
            receiver["webhook_configs"][0]["url"] = f"{self.webhooks.url}/{receiver['name']}"
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager))

    def stop(self) -> None:
        """Kill what was started."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.webhooks.stop()


def _supervised(ward: Ward, instance: str) -> bool:
    """Tell whether a worker is ready; start it again if it has ended because the group moved on without it."""
    if ward.workers[instance].poll() is not None:
        ward.start(instance)
    return ward.ready(instance)


def _policy(folder: Path) -> Path:
    """Write the shipped policy with a live budget, whose window some hours of a replay fill."""
    shipped, file = load_policy(), folder / "policy.toml"
    budget = Budget(0.5, shipped.raise_threshold / 2, shipped.raise_threshold * 2, window_hours=_WINDOW_HOURS)
    file.write_text(policy_toml(msgspec.structs.replace(shipped, budget=budget), ""))
    return file


@contextmanager
def open_operations(folder: Path) -> Iterator[Operations]:
    """Give two workers, a canary, a notifier and a live budget on a broker of their own, once the workers are ready."""
    broker = new_broker("embedded", folder / "broker")
    broker.start()
    try:
        with open_ward(broker.bootstrap_servers, folder, SEPSIS_MONITOR_POLICY__FILE=str(_policy(folder))) as ward:
            operations = Operations(ward, broker, folder, Webhooks())
            try:
                operations.start_notifier()
                for instance in ("worker-1", "worker-2"):
                    ward.start(instance)
                    until(partial(_supervised, ward, instance), seconds=60, what=f"{instance} ready")
                until(lambda: all(_supervised(ward, name) for name in list(ward.workers)), what="both workers ready")
                operations.start_command("canary", "canary", "--every", "2", "--within", "5")
                operations.start_command("budget", "budget", "--every", "2")
                yield operations
            finally:
                operations.stop()
    finally:
        broker.stop()
