"""Faults of mailboxes: what a relay may do to the messages of two devices that pair (spec §10)."""

from __future__ import annotations

from dataclasses import replace

from sealkeep_conformance.relay._answers import Answer, MessageAnswer
from sealkeep_conformance.relay.faults._fault import Fault, Scene, fault, flipped


class MessageFault(Fault):
    """Changes one message of a mailbox on its way to who reads it."""

    message: int
    routes = ("mailbox-get",)

    def answer(self, scene: Scene, answer: Answer) -> Answer:
        if scene.question.message != self.message or not isinstance(answer, MessageAnswer) or answer.message is None:
            return answer
        said = scene.relay.mailboxes.boxes[scene.question.mailbox or 0].messages
        return replace(answer, message=self.changed(answer.message, said))

    def changed(self, message: bytes, said: list[bytes]) -> bytes:
        """What is handed out instead; `said` are all messages so far."""
        return message


@fault
class FlipMessage(MessageFault):
    """Flips one bit of a message; negative bits count from the end."""

    message: int
    bit: int = -1

    def changed(self, message: bytes, said: list[bytes]) -> bytes:
        return flipped(message, self.bit)


@fault
class PutMessage(MessageFault):
    """Hands out another message of the same mailbox instead of one."""

    message: int
    instead: int

    def changed(self, message: bytes, said: list[bytes]) -> bytes:
        return said[self.instead - 1]


@fault
class ForgeMessage(MessageFault):
    """Hands out bytes of its own instead of a message."""

    message: int
    data: bytes

    def changed(self, message: bytes, said: list[bytes]) -> bytes:
        return self.data
