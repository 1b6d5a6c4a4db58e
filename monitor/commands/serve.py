"""`serve`: run one worker in the foreground."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import structlog

from agents.decoding import Limits
from agents.policy import Policy, PolicyError, mismatch
from agents.security import KafkaSecurity
from agents.topics import Topics, topic_specs
from agents.worker import Worker, WorkerConfig
from models.artifact import ArtifactError, load_model
from models.stay_model import StayModel
from monitor.brokers import open_broker
from monitor.clients import connection_options
from monitor.errors import Failure, failing_on
from monitor.health import Health, open_port
from monitor.invocation import Invocation, pass_invocation
from monitor.memory import few_arenas
from monitor.metrics import Metrics
from monitor.retrying import until_available
from monitor.settings import Settings
from monitor.signals import exit_on_signals
from monitor.systemd import notifying
from monitor.topic_admin import create_topics
from monitor.unit_policies import policies_of

__all__ = ["command"]

_log = structlog.get_logger(__name__)


@click.command(name="serve")
@click.option("--instance", metavar="NAME", help="Static member id, one of its own for each worker (worker.instance).")
@click.option("--model", metavar="NAME", help="A shipped artefact, or a folder (model.name).")
@click.option("--policy", type=click.Path(dir_okay=False, path_type=Path), help="Alert policy file (policy.file).")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Local state (worker.data_dir).")
@click.option("--http-host", metavar="ADDRESS", help="Where /livez, /readyz and /metrics are served (http.host).")
@click.option("--http-port", type=click.IntRange(0, 65535), help="Their port; 0 takes a free one (http.port).")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    instance: str | None,
    model: str | None,
    policy: Path | None,
    data_dir: Path | None,
    http_host: str | None,
    http_port: int | None,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C; then it finishes the work in hand, commits and ends.

    N workers are N processes with one worker.group and instances of their own. Missing topics are created. With no
    cluster configured, the local broker is used; one that is started here also ends here, so that for several workers
    `sepsis-monitor broker` should run first.

    A cluster that cannot be reached, or refuses the user, is asked again, later and later: /readyz says no, and the log
    says why.

    Under systemd (Type=notify) it says when it is ready and when it stops, and gives signs of life while its heartbeat
    is fresh.

    Exit code 0 after a clean end; 1 when it cannot start; 70 to 76 when it must be started again; 77 to 79 when
    something must be mended first, which its last line says.

    Example: sepsis-monitor --config site.toml serve --instance worker-2 --http-port 9465
    """
    overrides = {
        "worker.instance": instance,
        "worker.data_dir": data_dir,
        "model.name": model,
        "policy.file": policy,
        "http.host": http_host,
        "http.port": http_port,
    }
    few_arenas()
    settings = invocation.settings(overrides)
    with failing_on(ArtifactError):
        loaded_model = load_model(settings.model.name)
    with failing_on(PolicyError):
        policies = policies_of(settings)
    _make_folder(settings.worker.data_dir)
    with exit_on_signals(), open_broker(settings) as bootstrap:  # the worker handles signals itself once it runs
        code = _run(settings, bootstrap, loaded_model, *policies)
    click.get_current_context().exit(code)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot keep local state in {folder}: {error.strerror}; set worker.data_dir to a folder for writing"
        raise Failure(msg) from error


def _run(settings: Settings, bootstrap: str, model: StayModel, policy: Policy, units: Mapping[str, Policy]) -> int:
    metrics, health = Metrics(), Health()
    metrics.identify(
        model=(model.name, model.version, model.digest),
        policy=(policy.name, policy.version, policy.digest),
        units={unit: own.digest for unit, own in units.items()},
    )
    metrics.watch(health.status)
    server = open_port(settings, metrics.registry, health.status)
    try:
        with notifying(health.status):
            _make_topics(settings, bootstrap, metrics)
            worker = Worker(_config(settings, bootstrap), model, policy, metrics, units)
            health.begin(worker.status)
            _say_what_starts(settings, bootstrap, model, policy, units)
            return worker.run()
    finally:
        server.stop()


def _make_topics(settings: Settings, bootstrap: str, metrics: Metrics) -> None:
    """Make the topics that are missing, waiting for a cluster of the configuration; a local one is there or never."""

    def attempt() -> None:
        create_topics(bootstrap, settings, topic_specs(Topics(settings.topics.prefix)))

    if settings.kafka.bootstrap_servers is None:
        attempt()
    else:
        until_available(attempt, metrics.loop_turned)


def _say_what_starts(
    settings: Settings, bootstrap: str, model: StayModel, policy: Policy, units: Mapping[str, Policy]
) -> None:
    _log.info(
        "worker_starting",
        instance=settings.worker.instance,
        group=settings.worker.group,
        bootstrap_servers=bootstrap,
        model=f"{model.name} {model.version} {model.digest}",
        policy=f"{policy.name} {policy.version} {policy.digest}",
        units={unit: f"{own.name} {own.version} {own.digest}" for unit, own in units.items()},
    )
    for unit, one in ((None, policy), *units.items()):
        foreign = mismatch(one, model)
        if foreign is not None:
            _log.warning("policy_of_another_model", meaning=foreign, unit=unit)


def _config(settings: Settings, bootstrap: str) -> WorkerConfig:
    limits = settings.limits
    return WorkerConfig(
        bootstrap_servers=bootstrap,
        group=settings.worker.group,
        instance=settings.worker.instance,
        topics=Topics(settings.topics.prefix),
        partitions=settings.topics.partitions,
        data_dir=settings.worker.data_dir / settings.worker.instance,
        limits=Limits(limits.ahead_seconds, limits.late_hours, limits.value_bytes, limits.gap_hours),
        replication_factor=settings.topics.replication_factor,
        security=KafkaSecurity(**connection_options(settings.kafka)),
    )
