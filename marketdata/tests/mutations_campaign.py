"""The course of a campaign: a frame, damage, the wire, the normaliser, judgement, a count."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import orjson

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.bybit.records import Reject
from marketdata.bybit.values import reason_class
from marketdata.tests.mutations_shared import (
    OBJECT_MUTATORS,
    TEXT_MUTATORS,
    Frame,
    Message,
    ObjectMutator,
    Tally,
    TextMutator,
    damaged,
    harmless,
    unfit,
    written,
)

WHOLE_SHARE = 0.25
HARMLESS_SHARE = 0.1


class MutationCampaign:
    """Frames, damage, normaliser and oracle, with everything counted."""

    object_mutators: ClassVar[Sequence[ObjectMutator]] = OBJECT_MUTATORS
    text_mutators: ClassVar[Sequence[TextMutator]] = TEXT_MUTATORS

    def __init__(
        self,
        seed: int,
        *,
        digits: int = 30,
        loads: Callable[[bytes], Any] = orjson.loads,
        normalizer: BybitNormalizer | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.normalizer = normalizer or BybitNormalizer(digits=digits)
        self.digits = digits
        self.loads = loads
        self.tally = Tally()

    def next_frame(self, *, clean: bool) -> Frame:
        """A frame; a clean one will not be damaged."""
        raise NotImplementedError

    def judge(self, frame: Frame, treatment: str, message: Any, text: str) -> list[str]:
        """What is wrong with what the normaliser makes of `message`, which `text` says."""
        raise NotImplementedError

    def harmless(self, message: Message) -> str:
        """The same message, written otherwise."""
        return harmless(self.rng, message)

    def after(self, number: int) -> None:
        """Something to be done after a frame."""

    def run(self, frames: int) -> Tally:
        for number in range(frames):
            self._one(number)
            self.after(number)
        return self.tally

    def _one(self, number: int) -> None:
        tally, draw = self.tally, self.rng.random()
        frame = self.next_frame(clean=draw < WHOLE_SHARE + HARMLESS_SHARE)
        if draw < WHOLE_SHARE:
            treatment, text = "whole", written(frame.message)
        elif draw < WHOLE_SHARE + HARMLESS_SHARE:
            treatment, text = "harmless", self.harmless(frame.message)
        else:
            treatment = "damaged"
            text = damaged(self.rng, frame.message, self.object_mutators, self.text_mutators)
        faults = self._judge_text(frame, treatment, text)
        tally.frames += 1
        tally.whole += treatment == "whole"
        tally.harmless += treatment == "harmless"
        tally.whole_intact += treatment == "whole" and not faults
        tally.harmless_intact += treatment == "harmless" and not faults
        tally.faults += [
            f"frame {number} ({frame.kind}, {treatment}): {fault}: {text[:600]!r}"
            for fault in faults
        ]

    def _judge_text(self, frame: Frame, treatment: str, text: str) -> list[str]:
        try:
            message = self.loads(text.encode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            self.tally.sent += 1
            self.tally.rejected["not JSON"] += 1
            return ["refused as JSON"] if treatment != "damaged" else []
        try:
            return self.judge(frame, treatment, message, text)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            self.tally.crashes += 1
            return [f"crash {error!r}"]

    def judge_refused(
        self, method: Callable[..., Any], frame: Frame, treatment: str, message: Any
    ) -> list[str]:
        """A frame that the oracle cannot read must be refused, with a reason."""
        try:
            result = method(message, frame.received_at)
        except MalformedMessage as error:
            self.tally.rejected[reason_class(error.reason)] += 1
            faults = unfit(Reject(error.topic or "none", error.reason, "whole"))
            return faults if treatment == "damaged" else [*faults, f"refused: {error}"]
        self.tally.accepted += 1
        return [f"accepted: {result!r}"[:300]]
