"""How a long-running program says how it is: its port, open before the cluster answers, and what stands there."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from agents.observer import Status
from monitor import http
from monitor.certificates import show_expiries
from monitor.settings import Settings

__all__ = ["Health", "open_port"]


class Health:
    """What /livez and /readyz say: that one check fails until the cluster can be used, then what the program says."""

    def __init__(self, waits_for: str = "broker") -> None:
        """Name the check that fails meanwhile."""
        self._says: Callable[[], Status] = lambda: Status(live=True, ready=False, failing=(waits_for,))

    def begin(self, says: Callable[[], Status]) -> None:
        """Let the program speak for itself from now on."""
        self._says = says

    def status(self) -> Status:
        """Return what holds now."""
        return self._says()


def open_port(settings: Settings, registry: CollectorRegistry, status: Callable[[], Status]) -> http.HttpServer:
    """Serve a program's metrics, the expiry of its certificates among them, and its health on http.host:http.port."""
    show_expiries(registry, settings.kafka)
    return http.start(settings.http.host, settings.http.port, registry, status)
