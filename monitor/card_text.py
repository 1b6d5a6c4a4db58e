"""The text of a model card: fixed words on use and limits, and figures from an evaluation, never typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from models.manifest import Manifest
from monitor.card_commands import reproduction
from monitor.card_pictures import PICTURES
from monitor.evaluation_tables import (
    ALARM_LABELS,
    BASELINE_LABELS,
    DOUBT_HEADINGS,
    FIGURE_LABELS,
    OTHER_LEVELS_HEADINGS,
    SPAN_LABELS,
    across_rows,
    amount,
    doubt_cells,
    figure_text,
    other_levels_cells,
)

__all__ = ["PICTURE_FOLDER", "card_text"]

PICTURE_FOLDER = "pictures"
_CLOCK = "stay_hours"  # the feature that only a model with the clock has

_COMPARED = ("auroc_time_adjusted", "auroc_first_48h", "auroc", "auprc", "auroc_per_stay", "utility", "ece")
_GROUPED = ("auroc_time_adjusted", "auroc_first_48h", "auroc", "utility", "calibration_intercept", "ece")
_BURDEN = ("septic_alerted", "septic_alerted_6h_early", "ppv_episode", "other_ever_alerted", "lead_hours_median")

_USE = """\
Decision support for trained staff on adult intensive care wards: each hour, and at each new observation, the
probability that the challenge's sepsis label is positive (onset by the Sepsis-3 criteria within six hours, or already
begun), from vital signs, age, sex, and what is known at admission. Any subset of the seven vital signs will do;
temperature, heart rate and respiratory rate are the least that makes sense."""
_COMPARISON_USE = """\
Comparison with published results on the PhysioNet/CinC Challenge 2019. It may count the hours of a stay, which in these
data says much and at a bedside nothing: **it must not be used for patients.**"""
_NOT_FOR = """\
- Deciding on treatment, or on doing nothing: a low risk does not rule sepsis out.
- Wards, ages and conditions that are not in the data: children, maternity, general wards, patients at home.
- Paging by the utility threshold: it scores a model and flags long runs of hours. The pager has a policy of its own.
- Judging staff, rationing beds, or anything about a person other than the care of that person now.
- Any hospital that has not first measured it on its own patients: see the figures by hospital below."""
_BESIDE = """\
Scores are partial: they see vital signs only. Thresholds and probabilities of baselines come from other stays than
those they are used on. The last two columns: in the first 48 hours, at half an alert a patient-day or as near as whole
points come, the share of septic stays alerted / the positive predictive value / alerts a patient-day; by the pager's
rule, one alert until it is resolved, and by the rule of published comparisons, an alert every six hours while the risk
is high."""
_ELSEWHERE = """\
Models of the same recipe, configuration and data that learned from one hospital alone, thresholds and calibration
included: tested on their own test stays, and on all stays of the other hospital. *All* is the model of this card, on
the stays judged above. What a third hospital is to expect is told by these rows, not by the figures above."""
_NOT_ELSEWHERE = """\
Not measured for this model: none that learned from one hospital alone, by the same recipe, was set beside it (`train
--hospital NAME`, then `--across`). What another hospital is to expect cannot be told from the figures above."""
_TRAINED_BASELINES = ("lightgbm", "textbook")  # those that a card may be without
_LIMITS = """\
- Two hospitals of one country, of years past. Neither was left out of the training, so that a third will fare worse.
- The label is made from orders of antibiotics and cultures and from SOFA points: it says when staff suspected sepsis,
  not when it began, and what the model learns includes how these hospitals measure and order.
- Long records of this data set are septic records, an artefact of how it was cut. A rule that knows the hour alone has
  the utility shown under "Beside baselines"; so the time-adjusted AUROC and the first 48 hours are what to compare.
- Records end within hours of the onset; what the risk does afterwards, or under treatment, was never seen.
- The stays judged here chose nothing, but were looked at once or more for each version of the model: with every look,
  chance has more room. `docs/model-development.md` counts them.
- Subgroups are small, and their intervals wide. Ethnicity, diagnoses and treatment are not in the data: whether the
  model serves all groups alike along those lines cannot be told.
- A retrospective evaluation: nobody was alerted, so that no benefit to patients has been shown."""


def card_text(found: dict[str, Any], manifest: Manifest) -> str:
    """Return the card as Markdown."""
    model = found["shipped"]
    sections = [
        f"# Model card: {model['name']} {model['version']}",
        f"`{model['digest']}`\n\nWritten by `python -m monitor.model_card` from the evaluation in `evaluation.json`.",
        "## Intended use\n\n" + (_COMPARISON_USE if _CLOCK in manifest.layout.features else _USE),
        "## What it must not be used for\n\n" + _NOT_FOR,
        "## The model\n\n" + _model(found, manifest),
        "## Data\n\n" + _data(found, manifest),
        "## Figures\n\n" + _figures(found),
        "## Groups of stays\n\n" + _groups(found),
        "## At a hospital it has not seen\n\n" + _across(found),
        "## Beside baselines\n\n" + _baselines(found),
        "## Alerts\n\n" + _alarms(found),
        "## Doubt\n\n" + _doubt(found, manifest),
        "## Health, and joining mid-stay\n\n" + _checks(found),
        "## Pictures\n\n"
        + "\n\n".join(f"![{caption}]({PICTURE_FOLDER}/{name}.png)" for name, (caption, *_) in PICTURES.items()),
        "## Limits\n\n" + _limits(found),
        "## How to reproduce\n\n" + reproduction(found, manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _model(found: dict[str, Any], manifest: Manifest) -> str:
    rule = manifest.assessable
    return (
        f"One LSTM with {manifest.layout.hidden} units, fed hour by hour with {len(manifest.layout.features)} causal "
        "features of a stay so far; its whole memory of a stay takes less than two kilobytes. The risk is calibrated "
        f"on stays apart. It counts as assessable with {rule.vital_signs} vital signs of the last {rule.within_hours} "
        "hours that are not unlike the training data. Flags of the official utility are set from a risk of "
        f"{manifest.thresholds.utility} on{_of_both(found, found['utility_threshold'])}."
    )


def _of_both(found: dict[str, Any], measured: object) -> str:
    """Return what a number of the shipped model was in the measured one, in brackets; nothing where they are one."""
    return "" if _is_measured(found) else f" by the shipped model (the measured one, see Figures: {measured})"


def _is_measured(found: dict[str, Any]) -> bool:
    """Return whether the figures are of the shipped weights themselves."""
    return bool(found["model"]["digest"] == found["shipped"]["digest"])


def _data(found: dict[str, Any], manifest: Manifest) -> str:
    training, data, known = manifest.training, found["data"], found["provenance"]
    stays, septic = training.get("stays", {}), training.get("septic_stays", {})
    parts = _table(
        ("part", "stays", "septic"), [(name, str(count), str(septic.get(name, "-"))) for name, count in stays.items()]
    )
    it = "this model" if _is_measured(found) else "the measured model (see Figures), not the shipped one,"
    unseen = (
        f"All of the {data['stays']} stays judged here are ones {it} has not seen."
        if known["unseen"] == data["stays"]
        else f"Of the {data['stays']} stays judged here {it} has certainly not seen {known['unseen']}. "
        f"{known['warning']}"
    )
    return (
        "PhysioNet/CinC Challenge 2019, public training sets A and B (Reyna et al., Crit Care Med 48:210-217, 2020; "
        "data set doi 10.13026/v64v-d857, CC BY 4.0). Split by stay, in strata of hospital and septic or not:\n\n"
        f"{parts}\n\n{unseen} They have {data['rows']} hours, {data['positive_rows']} of them positive, and "
        f"{data['septic_stays']} are septic."
    )


def _figures(found: dict[str, Any]) -> str:
    views = found["views"]
    boot = found["bootstrap"]
    rows = [
        (label, *(figure_text(name, view["overall"][name]) for view in views.values()))
        for name, label in FIGURE_LABELS.items()
    ]
    shown = [
        f"*{_words(name)}*: {', '.join(map(_words, view['vital_signs']))}"
        + (f"; hidden: {', '.join(map(_words, view['hidden']))}" if view["hidden"] else "")
        for name, view in views.items()
    ]
    return (
        f"{_measured(found)}"
        f"In brackets 95 % intervals: {boot['rounds']} bootstrap rounds over stays. The time-adjusted AUROC compares "
        "hours of the same age of stay only; knowing the hour alone has 0.5. What the model sees: "
        f"{'; '.join(shown)}.\n\n{_table(('figure', *map(_words, views)), rows)}"
    )


def _measured(found: dict[str, Any]) -> str:
    """Return what to know of figures that are not of the shipped weights themselves; nothing where they are."""
    if _is_measured(found):
        return ""
    return (
        "When these figures had been measured, the shipped weights learned from the stays they were measured on as "
        "well. So they are the figures of the same recipe, configuration and data without those stays "
        f"(`{found['model']['digest']}`); those of health alone are of the shipped weights.\n\n"
    )


def _groups(found: dict[str, Any]) -> str:
    rows = [
        (
            _words(view_name),
            f"{by}: {name}",
            f"{group['stays']} / {group['septic_stays']}",
            *(figure_text(each, group["figures"][each]) for each in _GROUPED),
        )
        for view_name, view in found["views"].items()
        for by, groups in view["by"].items()
        for name, group in groups.items()
    ]
    return _table(("inputs", "group", "stays / septic", *(FIGURE_LABELS[each] for each in _GROUPED)), rows)


def _across(found: dict[str, Any]) -> str:
    if not found.get("across_hospitals"):
        return _NOT_ELSEWHERE
    headings = ("inputs", "learned from", "tested on", "stays / septic", *(FIGURE_LABELS[each] for each in _GROUPED))
    return f"{_ELSEWHERE}\n\n{_table(headings, across_rows(found, _GROUPED))}"


def _baselines(found: dict[str, Any]) -> str:
    parts = []
    for view_name, view in found["views"].items():
        model = {"figures": view["overall"], "compared": view["compared"]}
        rows = [
            (
                BASELINE_LABELS.get(name, name),
                *(figure_text(each, entry["figures"][each]) for each in _COMPARED),
                *(_compared(entry["compared"][rule]) for rule in ("episodes", "alerts_every_6_hours")),
            )
            for name, entry in ({found["model"]["name"]: model} | view["baselines"]).items()
        ]
        headings = ("", *(FIGURE_LABELS[each] for each in _COMPARED), "episodes", "alerts every 6 h")
        parts.append(f"### {_words(view_name)}\n\n{_table(headings, rows)}")
    return f"{_BESIDE}{_not_run(found)}\n\n" + "\n\n".join(parts)


def _not_run(found: dict[str, Any]) -> str:
    """Return which trained baselines were not run beside the model; nothing where all were."""
    beside = next(iter(found["views"].values()))["baselines"]
    missing = [BASELINE_LABELS[name] for name in _TRAINED_BASELINES if name not in beside]
    if missing:
        return f" Not run beside this model: {' and '.join(missing)}."
    if "baselines_from" not in found:
        return ""
    return (
        f" Those of trained baselines are from the card of {found['baselines_from']}, which judged the same stays by "
        "the same draws; their episodes, which depend on the hours a model does not assess, were not counted beside "
        "this one."
    )


def _compared(at: dict[str, Any]) -> str:
    if not at["reached"]:
        return "-"
    names = ("septic_alerted", "ppv_episode", "episodes_per_patient_day")
    return " / ".join(amount(name, at["figures"][name]["value"]) for name in names)


def _alarms(found: dict[str, Any]) -> str:
    policy, parts = found["policy"], []
    for view_name, view in found["views"].items():
        spans = [view["alarms"][span] for span in SPAN_LABELS]
        rows = [
            (label, *(figure_text(name, figures[name]) for figures in spans)) for name, label in ALARM_LABELS.items()
        ]
        parts.append(f"### {_words(view_name)}\n\n{_table(('figure', *SPAN_LABELS.values()), rows)}")
    first = next(iter(found["views"].values()))
    rows = [
        (text, str(at["burden"]), f"{at['raise_threshold']:.4f}", *(figure_text(n, at["figures"][n]) for n in _BURDEN))
        for span, text in SPAN_LABELS.items()
        for at in first["alarms_at_burden"][span]
        if at["reached"]
    ]
    headings = (
        *("hours", "episodes a patient-day", "raised at", "septic stays alerted", "6 h early", "PPV per episode"),
        *("other stays alerted", "lead in hours, median"),
    )
    return (
        f"Policy {policy['name']} {policy['version']}: raised at a risk of {policy['raise_threshold']}, resolved below "
        f"{policy['resolve_threshold']}. A septic stay counts as alerted when an alert is open at some hour from 12 "
        "before its onset to 3 after; later hours are not counted. In the first 48 hours, stays whose window the limit "
        "cuts before the onset are left out.\n\n"
        + "\n\n".join(parts)
        + f"\n\n### Other thresholds\n\n{_table(headings, rows)}"
    )


def _doubt(found: dict[str, Any], manifest: Manifest) -> str:
    fitted, rule = manifest.doubt, manifest.assessable
    table = _table(DOUBT_HEADINGS, doubt_cells(found["views"]))
    if fitted is None or fitted.limit is None:
        return f"This artefact cannot tell which stays are unlike those it learned from.\n\n{table}"
    counts = fitted.calibration
    measured = next(iter(found["views"].values()))["doubt"].get("limit")
    limit = _of_both(found, "its own, set alike" if measured is None else f"{measured:.1f}")
    return (
        f"A risk is not assessed where fewer than {rule.vital_signs} vital signs were ever measured (too few), where "
        f"fewer are of the last {rule.within_hours} hours (too old), or where what is known is unlike the training "
        f"data: stranger than a limit of {fitted.limit:.1f} nats{limit}, set by split conformal prediction so that at "
        f"most {fitted.alpha:.0%} of new stays from where the data are from are ever called unlike, and at most that "
        f"of septic ones: {counts.get('stays')} stays, {counts.get('septic_stays')} of them septic, that were not "
        "learned from gave it. The promise counts closed hours, and holds on average over such sets of stays, not for "
        "a hospital apart. Intervals are exact. An alert is lost where its hours were not assessed.\n\n"
        f"{table}"
    )


def _checks(found: dict[str, Any]) -> str:
    rows = []
    for name, view in found["views"].items():
        health, start = view["health"], view["cold_start"]
        rows.append(
            (
                _words(name),
                f"{health['odds_ratio']:.2f}, at most {health['largest_odds_ratio']:.2f}",
                f"{health['largest_risk']:.4f}",
                f"{health['largest_odds_of_raise_threshold']:.2f}",
                str(health["alerts"]),
                *(figure_text("auroc", start[each]) for each in ("state_kept", "state_emptied", "loss")),
            )
        )
    headings = (
        *("inputs", "health: odds of day 14 over day 1", "largest risk", "its odds over the raise threshold's"),
        *("alerts", "time-adjusted AUROC, state kept", "state emptied", "loss"),
    )
    first = next(iter(found["views"].values()))["health"]
    return (
        f"### One typical adult, fully measured\n\n{first['stays']} made-up stays of a healthy adult at rest, "
        f"{first['days']} days each, joined at hours from the first to the eighth day of a stay: like the made-up "
        "healthy stays that a model may have learned from, so that this is no test of other people. And real stays "
        f"whose state is emptied at a random hour, judged on the same later rows.\n\n{_table(headings, rows)}\n\n"
        f"### Other normal levels, values missing\n\nHealthy people of {first['days']} days again, made in another way "
        "than any to learn from: each at a level of their own within the zero-point ranges of NEWS2 (temperature to "
        "37.5 °C, systolic pressure to 139 mmHg), values that move slowly and never leave those ranges, and of single "
        "values none or half missing.\n\n"
        f"{_table(OTHER_LEVELS_HEADINGS, other_levels_cells(found['views']))}"
    )


def _limits(found: dict[str, Any]) -> str:
    """Return the fixed limits, and where health is not told a low risk."""
    return f"{_LIMITS}\n- {_health_limit(found['views'])}"


def _health_limit(views: dict[str, Any]) -> str:
    """Return in one sentence where health is not below a tenth of the raise threshold's odds, and what was alerted."""
    typical = [
        f"{view['health']['largest_odds_of_raise_threshold']:.2f} ({_words(name)})"
        for name, view in views.items()
        if not view["health"]["below_a_tenth"]
    ]
    other = [each for view in views.values() for each in view["health"]["other_levels"]]
    if not typical and not any(each["stays_ever_over_a_tenth"] for each in other):
        return "Health stayed below a tenth of the raise threshold's odds in every made-up stay of both kinds above."
    parts = []
    for missing in sorted({each["missing"] for each in other}):
        of = [each for each in other if each["missing"] == missing]
        shares = ", ".join(f"{each['largest_odds_of_raise_threshold']:.2f}" for each in of)
        alerts = ", ".join(str(each["alerts"]) for each in of)
        assessed = ", ".join(f"{each['largest_of_assessed_hours']:.2f}" for each in of)
        parts.append(
            f"{shares} with {missing:.0%} of single values missing (in hours that can be assessed {assessed}; alerts "
            f"on health there: {alerts})"
        )
    return (
        "A healthy person is not always told less than a tenth of the raise threshold's odds: the largest share "
        + (f"was {', '.join(typical)} for one typical adult, and " if typical else "was, ")
        + f"at other normal levels ({', '.join(map(_words, views))}) {'; '.join(parts)}."
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
