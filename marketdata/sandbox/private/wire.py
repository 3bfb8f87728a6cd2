"""What goes over a private connection: topics, control answers and the envelope of a push.

Sources: V5 "Connect" and the pages of the private topics. The all-in-one topic of a stream has
the plain name; the categorised one adds the category.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

EXECUTION, ORDER, POSITION, WALLET = TOPICS = ("execution", "order", "position", "wallet")
CATEGORISED = {topic: f"{topic}.linear" for topic in TOPICS if topic != WALLET}
ALL_TOPICS = (*TOPICS, *CATEGORISED.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One push: rows of an all-in-one topic; `resent` rows were made earlier.

    A recorded one has the topic and the text that were recorded.
    """

    topic: str
    id: str
    creation_time: int
    rows: Sequence[Any]
    resent: bool = False
    recorded: tuple[str, bytes] | None = None

    def again(self) -> Frame:
        """The same push once more."""
        return replace(self, resent=True)

    @property
    def wire_topics(self) -> list[str]:
        """The topics under which it is pushed."""
        if self.recorded is not None:
            return [self.recorded[0]]
        return [self.topic, *(CATEGORISED[one] for one in CATEGORISED if one == self.topic)]

    def message(self, topic: str, rows: orjson.Fragment) -> bytes:
        """The push under one of its topics."""
        if self.recorded is not None:
            return self.recorded[1]
        return orjson.dumps(
            {"topic": topic, "id": self.id, "creationTime": self.creation_time, "data": rows}
        )


def pong(*, conn_id: str, req_id: str, now_ms: int) -> bytes:
    """The answer to `{"op": "ping"}` on a private connection."""
    return orjson.dumps({"req_id": req_id, "op": "pong", "args": [str(now_ms)], "conn_id": conn_id})


def auth_answer(*, conn_id: str, req_id: str, error: str = "") -> bytes:
    """The answer to an authentication; the id is echoed when there was one."""
    answer = {"success": not error, "ret_msg": error, "op": "auth", "conn_id": conn_id}
    return orjson.dumps(answer | ({"req_id": req_id} if req_id else {}))
