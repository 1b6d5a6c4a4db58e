"""The dashboards parse, keep their uids, and ask for nothing that is not exported or recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deploy.dashboards import DASHBOARDS, GRAFANA, Panel, panels_of
from tests.deploy.promql import problems_of, read_yaml

_UIDS = {"clinical": "sepsis-monitor-clinical", "engine": "sepsis-monitor-engine"}  # links from elsewhere rely on them
_PANELS = [panel for dashboard in DASHBOARDS for panel in panels_of(dashboard)]


def _dashboard(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text())
    return told


def test_the_dashboards_are_these() -> None:
    assert {path.stem for path in (GRAFANA / "dashboards").glob("*.json")} == set(DASHBOARDS)
    for name in DASHBOARDS:
        told = _dashboard(name)
        assert told["uid"] == _UIDS[name]
        assert told["title"]
        assert [link["url"].removeprefix("/d/") for link in told["links"]] == sorted(
            set(_UIDS.values()) - {told["uid"]}
        )


@pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: f"{panel.dashboard}: {panel.title}")
def test_a_panel_says_what_it_shows_and_asks_what_exists(panel: Panel) -> None:
    (source,) = read_yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert panel.title
    assert panel.told["description"].endswith(".")
    assert panel.unit
    for target in panel.told["targets"]:
        assert target["datasource"] == panel.told["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert problems_of(target["expr"]) == []
        assert panel.kind != "timeseries" or "{{" in target["legendFormat"] or len(panel.told["targets"]) > 1


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_ids_of_their_own_and_do_not_lie_on_each_other(name: str) -> None:
    panels = _dashboard(name)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        place = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in place) < 24
        assert not place & taken, panel["title"]
        taken |= place


def test_grafana_is_told_where_they_lie() -> None:
    (provider,) = read_yaml(GRAFANA / "provisioning" / "dashboards" / "sepsis-monitor.yml")["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/etc/grafana/dashboards")
