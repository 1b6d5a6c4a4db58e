"""Every metric that a program of the service exports: its kind, unit, labels and meaning, as data.

Nothing is exported that does not stand here. Labels have few values that are known beforehand, but for units, of which
there are at most some hundreds; and never a patient, stay, bed or alert.
"""

from __future__ import annotations

from monitor.catalogue.beside import BUDGET_CATALOGUE, CANARY_CATALOGUE, NOTIFY_CATALOGUE
from monitor.catalogue.metric import PREFIX, Metric
from monitor.catalogue.process import CERTIFICATE_EXPIRY, PROCESS_CATALOGUE
from monitor.catalogue.worker import CATALOGUE, OPEN_ALERTS

__all__ = [
    "BUDGET_CATALOGUE",
    "CANARY_CATALOGUE",
    "CATALOGUE",
    "CERTIFICATE_EXPIRY",
    "NOTIFY_CATALOGUE",
    "OPEN_ALERTS",
    "PREFIX",
    "PROCESS_CATALOGUE",
    "Metric",
]
