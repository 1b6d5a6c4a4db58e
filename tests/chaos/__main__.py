"""`python -m tests.chaos`: the whole suite on a broker, as a table; exit code 1 on any anomaly or empty victory."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from monitor.brokers import local_broker
from monitor.errors import Failure
from monitor.settings import load_settings
from tests.chaos import scenarios
from tests.chaos.cluster import NODES, new_cluster
from tests.chaos.mock_cluster import MockCluster
from tests.chaos.mutation import REVEALED_BY, hunt
from tests.chaos.proxy import broker_addresses
from tests.chaos.report import table
from tests.chaos.stage import SCENARIOS, Broker, Grounds, Result, play
from tests.chaos.summing import document_table, read_results
from tests.chaos.whole_run import lacking

__all__ = ["engines_for", "main"]

assert scenarios.__all__

_BY_DEFAULT = ("kafka", "cluster", "mock")
_ENGINES = (*_BY_DEFAULT, "embedded")
_PARTIAL = ("cluster", "mock")  # take only what needs them: no whole run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="rounds of each scenario; some do fewer")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="your own cluster")
    parser.add_argument(
        "--engine", choices=("kafka", "embedded", "cluster", "mock"), default=None, help="the broker to start"
    )
    parser.add_argument("--only", action="append", metavar="NAME", choices=sorted(SCENARIOS), help="this scenario")
    parser.add_argument("--seed", type=int, default=None, help="of the first round; the next ones count on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument(
        "--mutants", nargs="*", metavar="NAME", help="take protections away instead: each must be found"
    )
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument(
        "--sum", nargs="+", type=Path, metavar="FILE", help="print what was written with --json as one table, and end"
    )
    return parser.parse_args()


@contextmanager
def _grounds(asked: argparse.Namespace, engine: str, folder: Path) -> Iterator[Grounds]:
    if asked.bootstrap:
        copies = min(NODES, len(broker_addresses(asked.bootstrap)))
        yield Grounds(asked.bootstrap, folder, "foreign", copies=copies)
        return
    single = {"broker.engine": engine, "broker.port": 0}
    broker: Broker
    if engine == "mock":
        broker = MockCluster()
    elif engine == "cluster":
        broker = new_cluster(folder / "brokers")
    else:
        broker = local_broker(load_settings(None, single), folder / "broker")
    broker.start()
    try:
        yield Grounds(broker.bootstrap_servers, folder, engine, broker, NODES if engine == "cluster" else 1)
    finally:
        broker.stop()


def main() -> int:
    """Run what was asked for, print the table, return the exit code."""
    asked = _arguments()
    names = asked.only or list(SCENARIOS)
    if asked.list:
        sys.stdout.write("".join(f"{name}: {SCENARIOS[name].run.__doc__}\n" for name in names))
        return 0
    if asked.sum:
        results = read_results(asked.sum)
        sys.stdout.write(document_table(results))
        return _verdict(results, whole={result.name for result in results} >= SCENARIOS.keys())
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    seeds = [seed + number for number in range(asked.rounds)]
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        if asked.mutants is not None:
            return _mutants(asked, Path(folder), seed)
        results = _play(asked, names, Path(folder), seeds)
    sys.stdout.write("\n" + table(results, head=True, details=True))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")
    return _verdict(results, whole=asked.only is None and asked.engine not in _PARTIAL)


def _verdict(results: list[Result], *, whole: bool) -> int:
    """Say what a whole run lacks, and return the exit code."""
    missing = lacking(results) if whole else []
    sys.stdout.writelines(f"the whole run: EMPTY: {line}\n" for line in missing)
    return int(bool(missing) or any(result.failed for result in results))


def _play(asked: argparse.Namespace, names: list[str], folder: Path, seeds: list[int]) -> list[Result]:
    """Run scenarios, each on the first of the brokers that it can take place on, a line as each is over."""
    results: list[Result] = []
    left = list(names)
    for engine in _engines(asked, names):
        fit = [name for name in left if asked.bootstrap or asked.engine or engine in SCENARIOS[name].engines]
        left = [name for name in left if name not in fit]
        with _grounds(asked, engine, folder / engine) as grounds:
            for name in fit:
                results.append(play(SCENARIOS[name], grounds, seeds))
                sys.stdout.write(table(results[-1:], head=len(results) == 1, details=results[-1].failed))
                sys.stdout.flush()
    return results


def _mutants(asked: argparse.Namespace, folder: Path, seed: int) -> int:
    """Take one protection after the other away; return 1 where one is not missed."""
    missed = 0
    with _grounds(asked, asked.engine or "kafka", folder) as grounds:
        for name in asked.mutants or REVEALED_BY:
            (found,) = hunt(grounds, seed, [name])
            sys.stdout.write(found.line() + "\n")
            sys.stdout.flush()
            missed += not found.found
    return int(missed > 0)


def _engines(asked: argparse.Namespace, names: list[str]) -> list[str]:
    """Return the brokers to start: the one that was asked for, else those that the scenarios need."""
    if asked.bootstrap:
        return ["foreign"]
    if asked.engine:
        return [asked.engine]
    return engines_for(names)


def engines_for(names: Iterable[str]) -> list[str]:
    """Return the brokers on which these scenarios take place by default: each on the first that it can."""
    first = {next((e for e in _BY_DEFAULT if e in SCENARIOS[name].engines), None) for name in names}
    return [engine for engine in _BY_DEFAULT if engine in first]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"Error: {failure}")
