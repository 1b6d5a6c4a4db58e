"""The page of all metrics, written from the catalogue: `python -m monitor.metrics_page` prints docs/metrics.md."""

from __future__ import annotations

import sys

from monitor.catalogue import (
    BUDGET_CATALOGUE,
    CANARY_CATALOGUE,
    CATALOGUE,
    CERTIFICATE_EXPIRY,
    NOTIFY_CATALOGUE,
    PROCESS_CATALOGUE,
    Metric,
)

__all__ = ["PROGRAMS", "page"]

PROGRAMS: tuple[tuple[str, str, tuple[Metric, ...]], ...] = (
    ("A worker", "`sepsis-monitor serve`, one process a port.", CATALOGUE),
    ("A canary", "`sepsis-monitor canary`, one for each deployment.", CANARY_CATALOGUE),
    ("A notifier", "`sepsis-monitor notify`.", NOTIFY_CATALOGUE),
    ("A live budget", "`sepsis-monitor budget`; its units are those that the admissions name.", BUDGET_CATALOGUE),
    ("Each process", "All four programs.", PROCESS_CATALOGUE),
    (
        "Each process over TLS",
        "All four programs, where `kafka.security_protocol` is `SSL` or `SASL_SSL`; for each file that is set.",
        (CERTIFICATE_EXPIRY,),
    ),
)
_INTRODUCTION = """\
# Metrics

Written from [`monitor/catalogue`](../monitor/catalogue) by `python -m monitor.metrics_page`; a test holds the two
together. Every process serves its own at `http.host`:`http.port`, `/metrics`. Units are base units. Labels have few
values, all but the names of units and receivers known beforehand: never a patient, stay, bed or alert, so that the
number of series does not grow with the patients. Rules and alerts are in [`deploy/prometheus`](../deploy/prometheus),
what to do about them in [`runbooks`](runbooks/README.md).

Kinds: a counter only rises while the process lives; a gauge goes both ways; a histogram has `_bucket`s (their upper
bounds below), `_sum` and `_count`; an info is always 1, and its labels say what it is about.
"""


def page() -> str:
    """Return the page as Markdown."""
    return _INTRODUCTION + "".join(_section(*program) for program in PROGRAMS)


def _section(title: str, where: str, catalogue: tuple[Metric, ...]) -> str:
    rows = "\n".join(map(_row, catalogue))
    return f"\n## {title}\n\n{where}\n\n| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n{rows}\n"


def _row(metric: Metric) -> str:
    labels = "; ".join(_label(metric, at) for at in range(len(metric.labels)))
    buckets = f" Buckets: {', '.join(f'{bound:g}' for bound in metric.buckets)}." if metric.buckets else ""
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.meaning}{buckets} |"


def _label(metric: Metric, at: int) -> str:
    name, values = metric.labels[at], dict.fromkeys(child[at] for child in metric.children)
    said = f": {', '.join(values)}" if values and metric.kind != "info" else ""
    return f"`{name}`{said}"


if __name__ == "__main__":
    sys.stdout.write(page())
