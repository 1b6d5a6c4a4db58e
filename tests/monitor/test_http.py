"""Health and metrics, asked over real connections."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from agents.observer import Status
from monitor import http as health
from monitor.errors import Failure


class Worker:
    """Stands where a worker would, with a status that the test sets."""

    def __init__(self) -> None:
        self.answer = Status(live=True, ready=True)

    def status(self) -> Status:
        """Return what the test has set."""
        return self.answer


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def server(worker: Worker) -> Iterator[health.HttpServer]:
    registry = CollectorRegistry()
    Counter("sepsis_monitor_tests_total", "Tests.", registry=registry).inc(3)
    started = health.start("127.0.0.1", 0, registry, worker.status)
    yield started
    started.stop()


def ask(server: health.HttpServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers.get("Content-Type", ""), body


def test_a_worker_that_works_is_live_and_ready(server: health.HttpServer) -> None:
    for path in ("/livez", "/readyz", "/readyz?verbose"):
        status, kind, body = ask(server, path)
        assert (status, kind, json.loads(body)) == (200, "application/json", [])


def test_a_worker_that_recovers_is_live_but_not_ready(server: health.HttpServer, worker: Worker) -> None:
    worker.answer = Status(live=True, ready=False, failing=("recovering",))
    assert ask(server, "/livez")[0] == 200
    status, _, body = ask(server, "/readyz")
    assert (status, json.loads(body)) == (503, ["recovering"])


def test_a_worker_that_hangs_is_not_live(server: health.HttpServer, worker: Worker) -> None:
    worker.answer = Status(live=False, ready=False, failing=("event_loop",))
    for path in ("/livez", "/readyz"):
        status, _, body = ask(server, path)
        assert (status, json.loads(body)) == (503, ["event_loop"])


def test_metrics_are_in_the_exposition_format(server: health.HttpServer) -> None:
    status, kind, body = ask(server, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(body) for sample in family.samples
    }
    assert samples["sepsis_monitor_tests_total"] == 3


def test_other_paths_and_methods_are_refused(server: health.HttpServer) -> None:
    assert ask(server, "/")[0] == 404
    assert ask(server, "/metrics/../etc/passwd")[0] == 404
    assert ask(server, "/livez", "POST")[0] == 501
    status, _, body = ask(server, "/livez", "HEAD")
    assert (status, body) == (200, "")


def test_a_client_that_says_nothing_is_hung_up_on_and_holds_up_nobody(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health._Handler, "timeout", 0.5)
    server = health.start("127.0.0.1", 0, CollectorRegistry(), worker.status)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
        silent.sendall(b"GET /livez")
        started = time.monotonic()
        assert ask(server, "/livez")[0] == 200
        assert silent.recv(100) == b""
        assert time.monotonic() - started < 10
    server.stop()


def test_an_address_that_is_taken_is_named(server: health.HttpServer, worker: Worker) -> None:
    with pytest.raises(Failure, match=f"127.0.0.1:{server.port}: .*in use; set http.host or http.port"):
        health.start("127.0.0.1", server.port, CollectorRegistry(), worker.status)


def test_it_stops_listening(worker: Worker) -> None:
    server = health.start("127.0.0.1", 0, CollectorRegistry(), worker.status)
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/livez")
