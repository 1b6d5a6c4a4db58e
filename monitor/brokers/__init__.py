"""Local brokers for when no cluster is configured: the embedded one and Apache Kafka."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import click
import structlog

from monitor.brokers.apache import ApacheBroker
from monitor.brokers.embedded import EmbeddedBroker
from monitor.brokers.process import BrokerProcess
from monitor.brokers.run_file import Running, find_running
from monitor.brokers.unprotected import warn_of_plaintext
from monitor.errors import Failure
from monitor.settings import Settings

__all__ = ["Running", "find_running", "local_broker", "open_broker"]

_OTHER_STARTS_SECONDS = 120.0
_POLL_SECONDS = 0.1

_log = structlog.get_logger(__name__)


def local_broker(settings: Settings, data_dir: Path | None = None) -> BrokerProcess:
    """Return the broker of `broker.engine` on `data_dir` (else `broker.data_dir`), not started yet.

    Raises Failure that names what to install where the engine is not there.
    """
    broker = settings.broker
    folder = (data_dir or broker.data_dir).absolute()
    if broker.engine == "kafka":
        return ApacheBroker(folder, kafka_home=broker.kafka_home, java_home=broker.java_home, port=broker.port)
    return EmbeddedBroker(folder, port=broker.port)


@contextmanager
def open_broker(
    settings: Settings,
    *,
    data_dir: Path | None = None,
    fresh: bool = False,
    alone: Literal["start", "tell", "refuse"] = "start",
) -> Iterator[str]:
    """Yield the bootstrap servers to use.

    They are those of the configured cluster; else of the local broker that runs on the data folder already; else of one
    that is started here and stopped at the end. With `fresh`, one is started on an empty folder that goes with it,
    whatever runs elsewhere, unless a cluster is configured. Commands that are copied from a runbook should not answer
    about a broker that nobody else uses: with `alone` "tell" stderr says that one is started, with "refuse" none is.
    Raises Failure.
    """
    if settings.kafka.bootstrap_servers is not None:
        warn_of_plaintext(settings.kafka.security_protocol, settings.kafka.bootstrap_servers)
        yield settings.kafka.bootstrap_servers
    elif fresh:
        with tempfile.TemporaryDirectory(prefix="sepsis-monitor-", ignore_cleanup_errors=True) as folder:
            yield from _started(local_broker(settings, Path(folder)))
    else:
        broker = local_broker(settings, data_dir)
        running = _running_or_locked(broker)
        if running is not None:
            yield running.bootstrap_servers
        else:
            _announce(broker, alone)
            yield from _started(broker)


def _announce(broker: BrokerProcess, alone: Literal["start", "tell", "refuse"]) -> None:
    """Say that no cluster is configured, or refuse to go on without one; the folder is given up then."""
    where = f"no cluster is configured (kafka.bootstrap_servers), and no local broker runs on {broker.data_dir}"
    remedy = "name the deployment's configuration with --config FILE or SEPSIS_MONITOR_CONFIG"
    if alone == "refuse":
        broker.stop()
        msg = f"{where}: {remedy}, or start `sepsis-monitor broker`"
        raise Failure(msg)
    if alone == "tell":
        told = f"WARNING: {where}; this starts one, and speaks of that one only: {remedy}"
        click.echo(f"sepsis-monitor: {told}", err=True)


def _started(broker: BrokerProcess) -> Iterator[str]:
    broker.start()
    try:
        yield broker.bootstrap_servers
    finally:
        broker.stop()


def _running_or_locked(broker: BrokerProcess) -> Running | None:
    """Return who runs on that folder, waiting for one that is just starting; else take the folder for `broker`."""
    deadline = time.monotonic() + _OTHER_STARTS_SECONDS
    while not broker.try_lock():
        running = find_running(broker.data_dir)
        if running is not None:
            return _suitable(running, broker)
        if time.monotonic() > deadline:
            msg = f"a broker holds {broker.data_dir}, but does not answer; end it, or set another broker.data_dir"
            raise Failure(msg)
        time.sleep(_POLL_SECONDS)
    return None


def _suitable(running: Running, wanted: BrokerProcess) -> Running:
    """Accept a running broker unless it promises less than the one that is asked for."""
    if wanted.engine == "kafka" and running.engine != "kafka":
        msg = (
            f"broker.engine is kafka, but the {running.engine} broker runs on {wanted.data_dir} "
            f"(process {running.pid}); stop it, or set another broker.data_dir"
        )
        raise Failure(msg)
    _log.info("broker_found", engine=running.engine, bootstrap_servers=running.bootstrap_servers, pid=running.pid)
    return running
