"""Failures that a person can act on: one line each, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Failure", "Unavailable", "failing_on"]


class Failure(Exception):  # noqa: N818 - it is the user's failure to mend, not a defect of the program
    """Ends a command: its message is printed as one line on stderr, and `exit_code` is the process's.

    The message says what happened, what it means and what to do. It never holds a secret or a patient's data.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Unavailable(Failure):
    """The cluster cannot be reached, or does not take what it is asked: the same may succeed later."""


@contextmanager
def failing_on(*expected: type[Exception], what: str = "") -> Iterator[None]:
    """Turn the exceptions of lower layers that already carry a clear line into a Failure, with `what: ` before it."""
    try:
        yield
    except expected as error:
        raise Failure(f"{what}: {error}" if what else str(error)) from error
