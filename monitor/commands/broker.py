"""`broker`: run the local broker in the foreground."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import click

from monitor.brokers import find_running, local_broker
from monitor.brokers.process import BrokerProcess
from monitor.errors import Failure
from monitor.invocation import Invocation, pass_invocation
from monitor.signals import stop_requested

__all__ = ["command"]

_POLL_SECONDS = 0.2


@click.command(name="broker")
@click.option("--engine", type=click.Choice(["embedded", "kafka"]), help="Which broker (broker.engine).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port on loopback; 0 takes a free one (broker.port).")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Its data (broker.data_dir).")
@click.option("--json", "as_json", is_flag=True, help="Print where it listens as one JSON object.")
@pass_invocation
def command(
    invocation: Invocation, *, engine: str | None, port: int | None, data_dir: Path | None, as_json: bool
) -> None:
    """Run the local broker until SIGTERM or Ctrl-C, and print its address once it answers.

    Other commands that have no cluster configured find it by its data folder. The engine `embedded` needs nothing
    else, and is for the demo and quick tests: it may lose the last seconds in a crash. The engine `kafka` is Apache
    Kafka from KAFKA_HOME, with Java 17. Both listen on loopback only, and keep their data until the next start.

    Example: sepsis-monitor broker --engine kafka --port 9092
    """
    overrides = {"broker.engine": engine, "broker.port": port, "broker.data_dir": data_dir}
    broker = local_broker(invocation.settings(overrides))
    with stop_requested() as stop:
        _start(broker)
        try:
            click.echo(_address(broker, as_json=as_json))
            _watch(broker, stop)
        finally:
            broker.stop()


def _start(broker: BrokerProcess) -> None:
    if not broker.try_lock():
        running = find_running(broker.data_dir)
        if running is not None:
            msg = (
                f"the {running.engine} broker runs on {broker.data_dir} already, at {running.bootstrap_servers} "
                f"(process {running.pid}); use that, or another --data-dir"
            )
            raise Failure(msg)
    broker.start()


def _address(broker: BrokerProcess, *, as_json: bool) -> str:
    if not as_json:
        return broker.bootstrap_servers
    place = {"bootstrap_servers": broker.bootstrap_servers, "data_dir": str(broker.data_dir)}
    return json.dumps({"engine": broker.engine, "pid": broker.pid, **place})


def _watch(broker: BrokerProcess, stop: threading.Event) -> None:
    while not stop.is_set():
        code = broker.wait(_POLL_SECONDS)
        if code is not None:
            msg = f"the {broker.engine} broker ended by itself with exit code {code}; see {broker.log_file}"
            raise Failure(msg)
