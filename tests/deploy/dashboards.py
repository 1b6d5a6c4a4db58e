"""The panels of the shipped dashboards, and the expressions that they ask."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.deploy.promql import DEPLOY

__all__ = ["DASHBOARDS", "GRAFANA", "Panel", "panels_of"]

GRAFANA = DEPLOY / "grafana"
DASHBOARDS = ("clinical", "engine")


@dataclass(frozen=True)
class Panel:
    """One panel: what it asks, as it stands in the file and with the variables of Grafana filled in."""

    dashboard: str
    told: dict[str, Any]

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.told["title"])

    @property
    def kind(self) -> str:
        """How it shows what it finds: stat, timeseries, bargauge, table."""
        return str(self.told["type"])

    @property
    def unit(self) -> str:
        """Grafana's name of the unit."""
        return str(self.told["fieldConfig"]["defaults"]["unit"])

    def asked(self, rate_interval: str) -> list[tuple[str, str]]:
        """Return the expressions with their legends, for all instances and this `$__rate_interval`."""
        return [
            (
                target["expr"].replace("$__rate_interval", rate_interval).replace("$instance", ".*"),
                target["legendFormat"],
            )
            for target in self.told["targets"]
        ]


def panels_of(dashboard: str) -> list[Panel]:
    """Return the panels of one of DASHBOARDS."""
    told = json.loads((GRAFANA / "dashboards" / f"{dashboard}.json").read_text())
    return [Panel(dashboard, panel) for panel in told["panels"]]
