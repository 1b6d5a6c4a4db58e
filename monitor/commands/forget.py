"""`forget`: erase a patient."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from monitor.brokers import open_broker
from monitor.erasing import erase
from monitor.finite_range import FiniteRange
from monitor.invocation import Invocation, pass_invocation
from monitor.pseudonyms import Pseudonyms, load_key
from monitor.tables import print_table

__all__ = ["command"]


@click.command(name="forget")
@click.argument("patient")
@click.option(
    "--pseudonym-key",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="PATIENT is the id in clear: take the pseudonym that it has under this key.",
)
@click.option("--force", is_flag=True, help="Even if the topics know no such patient: PATIENT is written to them.")
@click.option("--yes", is_flag=True, help="Do not ask: an open stay ends, and with it its alerts.")
@click.option(
    "--within",
    type=FiniteRange(min=1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the workers may make no progress.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a topic.")
@pass_invocation
def command(
    invocation: Invocation,
    *,
    patient: str,
    pseudonym_key: Path | None,
    force: bool,
    yes: bool,
    within: float,
    as_json: bool,
) -> None:
    """Erase PATIENT: state, latest risk and alerts at once; say what ages out, and when.

    Nobody watches the patient from then on, until something new is measured. What has been read from the topics by
    others is theirs to erase. A patient of whom no risk and no admission is known is refused: PATIENT may be an id in
    clear, or the key another one.

    Example: sepsis-monitor forget p000018 --yes
    """
    settings = invocation.settings()
    if pseudonym_key is not None:
        patient = Pseudonyms(load_key(pseudonym_key)).of(patient)
    if not yes:
        click.confirm("An open stay of the patient ends, and with it its alerts. Erase?", abort=True, err=True)
    with open_broker(settings, alone="refuse") as bootstrap:
        remains = erase(settings, bootstrap, patient, within, force=force)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in remains], indent=2))
    else:
        print_table(("TOPIC", "WHAT REMAINS"), [(one.topic, one.what) for one in remains])
