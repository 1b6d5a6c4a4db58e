"""Exit codes of a worker, one a cause: the supervisor restarts it in every case but 0, 77, 78 and 79."""

from __future__ import annotations

import logging
import os
import sys
from enum import IntEnum
from typing import NoReturn

__all__ = ["START_AGAIN", "Exit", "end_process"]

_log = logging.getLogger(__name__)


class Exit(IntEnum):
    """Why a worker's process ended."""

    DRAINED = 0  # SIGTERM or SIGINT: work in hand finished, offsets committed
    STREAM_FAILED = 70  # a chunk could not be worked off or acknowledged: it is read again after the restart
    STALLED = 71  # records waited and nothing moved, or the worker does not become ready
    NOT_DRAINED = 72  # told to stop, but work in hand was not done and acknowledged in time
    NOT_OWNER = 75  # the group may have given a partition to another worker
    MISASSIGNED = 76  # a partition came without the state that belongs to it
    LOG_BEHIND_STATE = 77  # the observations end before what the state has seen: the topic was created anew
    OTHER_SCHEMA = (
        78  # a version with another state record wrote the state: this one must not run (sysexits' EX_CONFIG)
    )
    INSTANCE_TAKEN = 79  # another process has joined the group under this worker's static member id


START_AGAIN = frozenset(
    {Exit.STREAM_FAILED, Exit.STALLED, Exit.NOT_DRAINED, Exit.NOT_OWNER, Exit.MISASSIGNED}
)  # codes after which nothing needs to be mended first


def end_process(code: Exit, reason: str) -> NoReturn:
    """End the process at once, without committing or closing anything: what is not acknowledged is read again.

    A clean shutdown would commit offsets and write state on the way out, which is what must not happen here.
    """
    _log.critical("worker_ended code=%d cause=%s: %s", code, code.name.lower(), reason)
    sys.stderr.flush()
    os._exit(code)
