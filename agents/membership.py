"""Static membership: a worker learns that another process has taken its static id, instead of taking it back.

Whoever joins a group under a static id replaces the member that had it, and the broker then no longer knows that
member's id. aiokafka answers this by joining again as somebody new, under the same static id: two processes of one name
replace each other for ever, and neither says why. Here a member that joins again shows the id that it had. The broker
answers FENCED_INSTANCE_ID where another process has the static id (KIP-345), and the process ends; it answers
UNKNOWN_MEMBER_ID where the session has merely run out, and then the member joins as somebody new.

What a coordinator cannot mend by itself, such as the right to be in the group that was taken away, aiokafka keeps until
somebody fetches; but nobody fetches before the first assignment, and a worker would wait in silence for ever. Here it
ends the process, whenever it comes.

Private parts of aiokafka 0.14 in use: `GroupCoordinator._send_req`, `GroupCoordinator._push_error_to_user`,
`JoinGroupRequest._member_id`.
"""

from __future__ import annotations

import copy
from typing import Any, NoReturn, cast

from aiokafka.errors import NoError, UnknownMemberIdError
from aiokafka.protocol.group import JoinGroupRequest

from agents.exits import Exit, end_process

__all__ = ["StaticMembership"]

_FENCED_INSTANCE_ID = 82  # aiokafka has no name for it


class StaticMembership:
    """Stands between one consumer's coordinator and the broker."""

    def __init__(self, coordinator: Any, instance: str) -> None:
        """Watch over the requests of a `GroupCoordinator` that has not joined yet."""
        self._send = coordinator._send_req  # noqa: SLF001 (the one place that all its requests pass)
        self._instance = instance
        self._known: str | None = None  # member id of the last join that succeeded
        coordinator._send_req = self.send  # noqa: SLF001
        coordinator._push_error_to_user = _end  # noqa: SLF001

    async def send(self, request: Any) -> Any:
        """Send a request of the coordinator's and return the answer; ends the process where the static id is taken."""
        if not isinstance(request, JoinGroupRequest):
            return self._checked(await self._send(request))
        asked = cast(Any, request)
        if self._known is not None and asked._member_id == JoinGroupRequest.UNKNOWN_MEMBER_ID:  # noqa: SLF001
            as_before = copy.copy(asked)
            as_before._member_id = self._known  # noqa: SLF001
            answer = self._checked(await self._send(as_before))
            if answer.error_code != UnknownMemberIdError.errno:
                return answer
            # Forgotten before the next attempt: if its answer is lost, the broker knows us by an id that we never saw.
            self._known = None
        answer = self._checked(await self._send(request))
        if answer.error_code == NoError.errno:
            self._known = answer.member_id
        return answer

    def _checked(self, answer: Any) -> Any:
        if getattr(answer, "error_code", NoError.errno) == _FENCED_INSTANCE_ID:
            end_process(
                Exit.INSTANCE_TAKEN,
                f"another process has joined the group as {self._instance}: two workers must not have one "
                "worker.instance; give each a name of its own",
            )
        return answer


async def _end(error: Exception) -> NoReturn:
    """End the process for an error that the coordinator would keep for whoever fetches next."""
    end_process(
        Exit.STREAM_FAILED,
        f"the cluster does not let this worker take part in its group: {type(error).__name__}: {error}; "
        "check what its user may do (sepsis-monitor topics acls --role worker)",
    )
