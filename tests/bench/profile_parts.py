"""`python -m tests.bench.profile_parts FILE...`: what part of a worker's time goes where, from samples of py-spy.

Let a worker have a backlog before it, and ask the interpreter while it works which thread holds it, and where that is:

    sepsis-monitor bench --engine kafka --patients 1000 --events 600000 --rate 0
    py-spy record -p PID -d 6 -r 200 --gil -t -f raw -o 1000.raw     # PID of `serve`, once it is at work
    python -m tests.bench.profile_parts 1000.raw

It prints a Markdown table of shares, a column for each file. With `--gil` these are shares of the interpreter's time;
arithmetic in which NumPy lets go of it, and waiting, are not in it. Without, they are shares of all threads' samples
that py-spy took for busy.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

__all__ = ["main", "part_of", "shares"]

FETCH = "fetch and parse"
DECODE = "decode and check"
MODEL = "features, network, doubt"
OPEN_STEPS = "open steps"
STATE = "state read, sealed, stored"
TOLD = "scores and alerts decided on and made"
REASONS = "reasons of alerts"
SENDING = "sending"
METRICS = "metrics and clock"
RUNTIME = "Faust, mode, asyncio"

_WHOLE = {  # whatever is called from there
    REASONS: r"(models|agents)/(reasons|attribution)\.py",
    METRICS: r"prometheus_client/|socketserver\.py|structlog/|agents/(reporting|clock_watch|watchdog)\.py",
}
_INNERMOST = {  # whoever called last of these; what none of them calls is the runtime's
    FETCH: r"aiokafka/consumer/|agents/(transport|chunk|pace)\.py|faust/transport/(consumer|drivers)",
    DECODE: r"agents/(columns|decoding|checking|control|cloudevents|rejection|runs)\.py",
    OPEN_STEPS: r"agents/(open_step|observing|intake)\.py",
    MODEL: r"models/(?!order)|agents/steps\.py",  # medians are for whoever asks for them
    STATE: r"agents/(record|slab|table|ward|rebuilding)\.py",
    TOLD: r"agents/(outputs|alerts|episodes|moves|messages|publishing|outcome|rules|stretch|core|in_force|stays)\.py"
    r"|Watching\._tell ",
    SENDING: r"agents/(sending|telling|gate)\.py|aiokafka/",
    METRICS: r"agents/(observer|clock)\.py|monitor/(metrics|distribution|http|logs)\.py",
}
_OF_THE_CONSUMER = re.compile(r"mode/threads\.py")  # Faust lets its consumer have a thread of its own
_whole = [(part, re.compile(pattern)) for part, pattern in _WHOLE.items()]
_innermost = [(part, re.compile(pattern)) for part, pattern in _INNERMOST.items()]


def part_of(frames: list[str]) -> str:
    """Return the part to which a sample belongs, by its frames, the outermost first."""
    for part, pattern in _whole:
        if any(map(pattern.search, frames)):
            return part
    if any(map(_OF_THE_CONSUMER.search, frames)):
        return FETCH
    for frame in reversed(frames):
        for part, pattern in _innermost:
            if pattern.search(frame):
                return part
    return RUNTIME


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Return the share of each part, from lines of `frame;frame;... count`."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        found[part_of(stack.split(";"))] += int(count)
    return {part: count / found.total() for part, count in found.items()}


def main(files: list[str]) -> int:
    """Print the table, and return the exit code."""
    if not files:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    columns = [shares(Path(file).read_text(encoding="utf-8").splitlines()) for file in files]
    names = [Path(file).stem for file in files]
    rows = [[part, *(f"{column.get(part, 0):.0%}" for column in columns)] for part in (*_INNERMOST, REASONS, RUNTIME)]
    for row in ([" ", *names], ["---"] * (len(files) + 1), *rows):
        print(f"| {' | '.join(row)} |")  # noqa: T201 (the result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
