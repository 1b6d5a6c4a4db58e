"""An evaluation as tables for people; see `evaluation` for what the figures are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from monitor.tables import print_table

__all__ = [
    "ALARM_LABELS",
    "BASELINE_LABELS",
    "DOUBT_HEADINGS",
    "FIGURE_LABELS",
    "OTHER_LEVELS_HEADINGS",
    "SPAN_LABELS",
    "across_rows",
    "amount",
    "doubt_cells",
    "figure_text",
    "other_levels_cells",
    "print_evaluation",
]

# The figures in the order people are shown them, and their names.
FIGURE_LABELS = {
    "auroc_time_adjusted": "time-adjusted AUROC",
    "auroc_time_adjusted_first_48h": "time-adjusted AUROC, first 48 h",
    "auroc_first_48h": "AUROC, first 48 h",
    "auprc_first_48h": "AUPRC, first 48 h",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "auroc_per_stay": "AUROC per stay",
    "utility": "official utility",
    "brier": "Brier score",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "ece": "calibration error",
}
ALARM_LABELS = {
    "episodes_per_patient_day": "alert episodes a patient-day",
    "episodes_per_patient_day_septic": "... in septic stays",
    "episodes_per_patient_day_other": "... in other stays",
    "other_ever_alerted": "other stays ever alerted",
    "septic_alerted": "septic stays alerted, 12 h before to 3 h after onset",
    "septic_alerted_6h_early": "... at least 6 h before",
    "septic_raised_in_window": "... by an alert raised in that time",
    "septic_raised_6h_early": "... raised in it, at least 6 h before",
    "ppv_episode": "episodes that are open in that time of a septic stay",
    "ppv_episode_raised_in_window": "episodes that are raised in it",
    "ppv_stay": "alerted stays that are septic and alerted in time",
    "lead_hours_lower_quartile": "lead in hours, lower quartile",
    "lead_hours_median": "... median",
    "lead_hours_upper_quartile": "... upper quartile",
    "raised_lead_hours_lower_quartile": "lead of alerts raised in that time, lower quartile",
    "raised_lead_hours_median": "... median",
    "raised_lead_hours_upper_quartile": "... upper quartile",
}
BASELINE_LABELS = {
    "hours_only": "hour of the stay alone",
    "sirs_partial": "SIRS (partial)",
    "qsofa_partial": "qSOFA (partial)",
    "news2_partial": "NEWS2 (partial)",
    "mews_partial": "MEWS (partial)",
    "textbook": "textbook LSTM(50), two layers",
    "lightgbm": "LightGBM",
    "lightgbm_with_clock": "LightGBM with the clock",
}
SPAN_LABELS = {"whole_stay": "whole stay", "first_48h": "first 48 h"}
DOUBT_HEADINGS = (
    *("inputs", "stays ever called unlike", "promised, at most", "... septic stays", "... by hospital"),
    *("hours not assessed: too few", "too old", "unlike"),
    *("septic stays alerted", "... if nothing were unlike", "... if all were assessed"),
)
OTHER_LEVELS_HEADINGS = (
    *("inputs", "single values missing", "largest odds over the raise threshold's", "in hours that can be assessed"),
    *("stays ever over a tenth", "alerts", "stays ever alerted"),
)
# Few enough for a terminal; the card and the JSON have all.
_GROUPED = ("auroc_time_adjusted", "auroc_first_48h", "utility", "ece")
_COMPARED = ("auroc_time_adjusted", "auroc_first_48h", "auroc", "utility")
_HOUR_FIGURES = "lead_hours"
_FINE = ("brier", "ece", "auprc", "auprc_first_48h")


def amount(name: str, value: float | None) -> str:
    """Return one number of a figure as people read it; a dash where there is none."""
    if value is None:
        return "-"
    if _HOUR_FIGURES in name:
        return f"{value:.1f}"
    return f"{value:.4f}" if name in _FINE else f"{value:.3f}"


def figure_text(name: str, figure: dict[str, float | None]) -> str:
    """Return a figure with its interval, where it has one."""
    text = amount(name, figure["value"])
    if figure.get("low") is None:
        return text
    return f"{text} ({amount(name, figure['low'])} to {amount(name, figure['high'])})"


def across_rows(found: dict[str, Any], figures: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the rows of models of one hospital each, and of the model itself at each hospital, view by view."""
    rows = []
    for view_name, view in found["views"].items():
        entries = [
            (each["trained_on"], each["tested_on"], each, each["views"][view_name])
            for each in found["across_hospitals"]
            if view_name in each["views"]
        ]
        entries += [("all", name, group, group["figures"]) for name, group in view["by"]["hospital"].items()]
        rows += [
            (
                *(view_name.replace("_", " "), trained_on, tested_on, f"{of['stays']} / {of['septic_stays']}"),
                *(figure_text(each, measured[each]) for each in figures),
            )
            for trained_on, tested_on, of, measured in entries
        ]
    return rows


def print_evaluation(found: dict[str, Any]) -> None:
    """Print all tables on stdout."""
    data, model, policy = found["data"], found["model"], found["policy"]
    click.echo(
        f"{model['name']} {model['version']} on {data['stays']} stays, {data['septic_stays']} septic, "
        f"{data['rows']} hours; 95 % intervals over stays, {found['bootstrap']['rounds']} bootstrap rounds"
    )
    views = found["views"]
    names = [name.replace("_", " ") for name in views]
    _title("Risks")
    print_table(
        ("figure", *names),
        [
            (label, *(figure_text(name, view["overall"][name]) for view in views.values()))
            for name, label in FIGURE_LABELS.items()
        ],
    )
    _title("Groups of stays")
    _print_groups(views)
    if found.get("across_hospitals"):
        _title("Models that learned from one hospital, on stays they have not seen, and this one at each hospital")
        labels = [FIGURE_LABELS[each] for each in _GROUPED]
        print_table(("inputs", "learned from", "tested on", "stays / septic", *labels), across_rows(found, _GROUPED))
    for name, view in views.items():
        _title(f"Beside baselines: {name.replace('_', ' ')}")
        _print_baselines(model["name"], view)
    rule = f"Alerts of the policy {policy['name']} {policy['version']}, raised at {policy['raise_threshold']}"
    for name, view in views.items():
        _title(f"{rule}: {name.replace('_', ' ')}")
        _print_alarms(view)
    _title("Alerts at other thresholds")
    _print_burdens(views)
    _title("Doubt")
    print_table(DOUBT_HEADINGS, doubt_cells(views))
    _title("Health and cold starts; health is one typical adult, fully measured, like that learned from")
    _print_checks(views)
    _title("Health made otherwise: each person at another normal level, values missing")
    print_table(OTHER_LEVELS_HEADINGS, other_levels_cells(views))


def doubt_cells(views: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each view under DOUBT_HEADINGS."""
    rows = []
    for name, view in views.items():
        doubt = view["doubt"]
        ever, alerted = doubt["ever_unlike"], doubt["septic_stays_alerted"]
        hospitals = [
            f"{each.removeprefix('hospital ')} {figure_text('share', found['share'])}"
            for each, found in ever.items()
            if each.startswith("hospital ")
        ]
        rows.append(
            (
                name.replace("_", " "),
                figure_text("share", ever["all"]["share"]),
                amount("share", doubt["alpha"]),
                figure_text("share", ever["septic"]["share"]),
                ", ".join(hospitals) or "-",
                *(f"{doubt['hours'][reason]:.4f}" for reason in ("too_few", "too_old", "unlike")),
                f"{alerted['alerted']} of {doubt['septic_stays']}",
                *(str(alerted[each]) for each in ("without_unlike", "without_any_doubt")),
            )
        )
    return rows


def other_levels_cells(views: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each view and share of missing values under OTHER_LEVELS_HEADINGS."""
    return [
        (
            name.replace("_", " "),
            f"{each['missing']:.0%}",
            f"{each['largest_odds_of_raise_threshold']:.2f}",
            f"{each['largest_of_assessed_hours']:.2f}",
            f"{each['stays_ever_over_a_tenth']:.1%}",
            str(each["alerts"]),
            f"{each['stays_ever_alerted']} of {each['stays']}",
        )
        for name, view in views.items()
        for each in view["health"]["other_levels"]
    ]


def _title(text: str) -> None:
    click.echo(f"\n{text}")


def _print_groups(views: dict[str, Any]) -> None:
    rows = [
        (
            view_name.replace("_", " "),
            f"{by} {name}",
            f"{group['stays']} / {group['septic_stays']}",
            *(figure_text(each, group["figures"][each]) for each in _GROUPED),
        )
        for view_name, view in views.items()
        for by, groups in view["by"].items()
        for name, group in groups.items()
    ]
    labels = [FIGURE_LABELS[each] for each in _GROUPED]
    print_table(("inputs", "group", "stays / septic", *labels), rows)


def _print_baselines(model: str, view: dict[str, Any]) -> None:
    shown = {model: {"figures": view["overall"], "compared": view["compared"]}} | view["baselines"]
    rows = [
        (
            BASELINE_LABELS.get(name, name),
            *(figure_text(each, entry["figures"][each]) for each in _COMPARED),
            _compared(entry["compared"]["episodes"]),
            _compared(entry["compared"]["alerts_every_6_hours"]),
        )
        for name, entry in shown.items()
    ]
    print_table(("", *(FIGURE_LABELS[each] for each in _COMPARED), "episodes", "alerts every 6 h"), rows)
    click.echo(
        "Last two columns: in the first 48 h at 0.5 alerts a patient-day, or as near as whole points come: septic "
        "stays alerted / positive predictive value / alerts a patient-day"
    )


def _compared(at: dict[str, Any]) -> str:
    if not at["reached"]:
        return "-"
    figures = at["figures"]
    names = ("septic_alerted", "ppv_episode", "episodes_per_patient_day")
    return " / ".join(amount(name, figures[name]["value"]) for name in names)


def _print_alarms(view: dict[str, Any]) -> None:
    spans = [view["alarms"][span] for span in SPAN_LABELS]
    rows = [(label, *(figure_text(name, figures[name]) for figures in spans)) for name, label in ALARM_LABELS.items()]
    print_table(("figure", *SPAN_LABELS.values()), rows)


def _print_burdens(views: dict[str, Any]) -> None:
    shown = ("septic_alerted", "septic_alerted_6h_early", "ppv_episode", "other_ever_alerted", "lead_hours_median")
    rows = []
    for name, view in views.items():
        for span, label in SPAN_LABELS.items():
            for at in view["alarms_at_burden"][span]:
                cells = (
                    (f"{at['raise_threshold']:.4f}", *(figure_text(each, at["figures"][each]) for each in shown))
                    if at["reached"]
                    else ("never so many", *("-" for _ in shown))
                )
                rows.append((name.replace("_", " "), label, f"{at['burden']}", *cells))
    headings = (
        *("inputs", "hours", "episodes a patient-day", "raised at", "septic stays alerted", "6 h early"),
        *("PPV per episode", "other stays alerted", "lead in hours, median"),
    )
    print_table(headings, rows)


def _print_checks(views: dict[str, Any]) -> None:
    rows = []
    for name, view in views.items():
        health, start = view["health"], view["cold_start"]
        rows.append(
            (
                name.replace("_", " "),
                f"{health['odds_ratio']:.2f} (at most {health['largest_odds_ratio']:.2f})",
                f"{health['largest_risk']:.4f}, {health['largest_odds_of_raise_threshold']:.2f}",
                str(health["alerts"]),
                figure_text("auroc", start["state_kept"]),
                figure_text("auroc", start["state_emptied"]),
                figure_text("auroc", start["loss"]),
            )
        )
    headings = (
        *("inputs", "health, odds of day 14 over day 1", "largest risk, its odds over the raise threshold's"),
        *("alerts", "time-adjusted AUROC, state kept", "state emptied at a random hour", "loss"),
    )
    print_table(headings, rows)
