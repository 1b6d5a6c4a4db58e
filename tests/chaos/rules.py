"""Whether each alert was decided on by the rule that the log says: of its unit, at its place, at its moved threshold.

The log is worked through once more by the plain rules, which share nothing with the core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agents.policy import Policy
from tests.agents.plain_rules import PlainRules
from tests.chaos.evidence import Evidence
from tests.chaos.oracle import Alert, plain

__all__ = ["wrong_rules"]


def wrong_rules(evidence: Evidence, common: Policy, units: Mapping[str, Policy]) -> Iterator[str]:
    """Yield a sentence for each alert event that names another policy or threshold than the log says.

    `common` and `units` hold where a partition's log has named none.
    """
    alerts: dict[tuple[int, int], list[Alert]] = {}
    for record in evidence.alerts:
        body = plain(record.value)
        alerts.setdefault((body["log"]["partition"], body["log"]["offset"]), []).append(body)
    rules: dict[int, PlainRules] = {}
    for record in evidence.log:
        mine = rules.setdefault(record.partition, PlainRules(common, units))
        mine.read(record.headers, record.value)
        for alert in alerts.get((record.partition, record.offset), ()):
            rule = mine.of(alert["unit"])
            wanted = rule["resolve_threshold" if alert["transition"] in {"resolved", "expired"} else "raise_threshold"]
            if alert["policy"]["digest"] != rule["digest"]:
                yield f"{alert['transition']} of log {alert['log']} under {alert['policy']['name']}, not {rule['name']}"
            elif alert["kind"] == "sepsis_risk" and alert["threshold"] != wanted:
                yield f"{alert['transition']} of log {alert['log']} at {alert['threshold']}, not at {wanted}"
