"""A relay in memory that has one account's roster and wraps, and no segments; and a device that follows it.

    world = MadeAccount(devices=2)
    relay, phone = RosterRelay(world), Follower(1, world)
    phone.run(relay, steps)
    relay.before(AppendEntry, lambda: world.add(by=device(2)))      # something that comes in between, once
    relay.spoil(ReadRoster, lambda answer: …)                       # a fault, until `relay.mend()`

It is honest: it judges and answers as spec §8.2 says; a fault changes what it answers, or raises.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import MappingProxyType
from typing import Any, TypeVar

from sealkeep_client.answers import Wrap
from sealkeep_client.engine import Account, Action, AppendEntry, ReadRoster, ReadWraps, SaveRoster
from sealkeep_protocol.errors import RefusedError, SealkeepError, TransportError
from sealkeep_protocol.problems import PROBLEMS
from sealkeep_protocol.roster import Roster
from sealkeep_protocol.types import DeviceId
from support.accounts import CountingRandom, MadeAccount, MadeRelay

T = TypeVar("T")


def refusal_of(code: str) -> RefusedError:
    """A problem as the transport raises it."""
    problem = PROBLEMS[code]
    return RefusedError(code, problem.title, status=problem.status, retryable=problem.retryable)


class RosterRelay:
    """See the module. `asked` are all questions, `appended` counts the entries that it took."""

    def __init__(self, world: MadeAccount) -> None:
        self.world = world
        self.made = MadeRelay()
        self.asked: list[Action] = []
        self.appended = 0
        self.takes = True  # without, entries are acknowledged and thrown away
        self._spoils: list[tuple[type, Callable[[Any], Any]]] = []
        self._befores: list[tuple[type, Callable[[], object]]] = []

    def spoil(self, action: type, spoil: Callable[[Any], Any]) -> None:
        self._spoils.append((action, spoil))

    def refuse(self, action: type, code: str) -> None:
        def spoil(_: Any) -> Any:
            raise refusal_of(code)

        self.spoil(action, spoil)

    def lose_answer(self, action: type) -> None:
        """Carry the next such action out, and let the line break before its answer arrives."""
        lost = False

        def lose(answer: Any) -> Any:
            nonlocal lost
            if not lost:
                lost = True
                raise TransportError("the connection to the relay broke")
            return answer

        self.spoil(action, lose)

    def before(self, action: type, happens: Callable[[], object]) -> None:
        self._befores.append((action, happens))

    def mend(self) -> None:
        self._spoils.clear()
        self._befores.clear()

    def answer(self, device: int, action: Action) -> Any:
        """Answer as the transport does. Raises what it raises."""
        self.asked.append(action)
        for place, (kind, happens) in enumerate(self._befores):
            if isinstance(action, kind):
                del self._befores[place]
                happens()
                break
        answer = self._answer(device, action)
        for kind, spoil in self._spoils:
            if isinstance(action, kind):
                answer = spoil(answer)
        return answer

    def _answer(self, device: int, action: Action) -> Any:
        world = self.world
        match action:
            case ReadRoster():
                return world.entries[action.first :], world.roster.number
            case ReadWraps():
                if not world.roster.devices[device].active:
                    raise refusal_of("revoked")
                return self.wraps(device)
            case AppendEntry():
                if action.head != world.roster.number:
                    raise refusal_of("roster-conflict")
                if self.takes:
                    world.append(action.entry, action.wraps)
                    world.roster.check_wraps(list(action.wraps))
                    self.appended += 1
                return None
        raise AssertionError(action)

    def wraps(self, device: int) -> list[Wrap]:
        """A device's newest."""
        found = []
        for number, wraps in enumerate(self.world.wraps):
            if wraps:  # a close has none
                roster = Roster.read(self.world.entries[: number + 1], account=self.world.id)
                for (recipient, _), wrap in zip(roster.recipients(), wraps, strict=True):
                    if recipient == device:
                        found = [Wrap(number, recipient, wrap)]
        return found


def drive(steps: Generator[Any, Any, T], do: Callable[[Any], Any]) -> T:
    """Carry steps through: each action is done by `do`, and what it raises is thrown in."""
    value: Any = None
    failure: SealkeepError | None = None
    while True:
        try:
            action = steps.send(value) if failure is None else steps.throw(failure)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        value = failure = None
        try:
            value = do(action)
        except SealkeepError as error:
            failure = error


class Follower:
    """A device of the world's account; `account` is what it has saved."""

    def __init__(self, number: int, world: MadeAccount) -> None:
        self.random = CountingRandom(f"device {number}")
        self.account = Account(
            device=DeviceId(number),
            keys=world.devices[number],
            identity=MadeRelay().identity,
            roster=world.roster,
            epochs=MappingProxyType(dict(world.epochs)),
        )

    def run(self, relay: RosterRelay, steps: Generator[Action, Any, T]) -> T:
        def do(action: Action) -> Any:
            if isinstance(action, SaveRoster):
                assert action.first == self.account.roster.number + 1
                self.account = action.account
                return None
            return relay.answer(self.account.device, action)

        return drive(steps, do)
