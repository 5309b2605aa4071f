"""The stages that attacks begin from. Every write is a segment of its own, so that all seqs and positions are known.

| stage | what there is |
|---|---|
| `in-step` | phone (1), laptop (2) and tablet (3) hold 1:1, 1:2, 2:1, 1:3 at positions 1 to 4; entries 0 to 2, epoch 3 |
| `news` | 3:1, 1:4 (names it), 1:5, 1:6 at positions 5 to 8, which the laptop has not read |
| `named` | 3:2 at position 9, which names 1:6 |
| `aside` | `in-step`; 3:1 and 1:4 at positions 5 and 6, of which neither names the other; the laptop has read neither |
| `entry` | `news`, and entry 3 (desk, 4), epoch 4, 1:7 at position 9 |
| `entries` | `entry`, and entry 4 (attic, 5), epoch 5, 1:8 at position 10 |
| `told` | `news`; 2:2 at position 9, which all three have read |
| `lost` | `told`, and the relay was put back to what it was at `in-step` |
| `since` | `told`; entry 3 (desk, 4), epoch 4, 1:7 at position 10, which all three have read |
| `lost-entry` | `since`, and the relay was put back to what it was at `in-step` |
| `waiting` | `in-step`; 2:2 is signed and was sent, and the relay took nothing |
| `stale` | `waiting`; entry 3 (desk, 4), epoch 4, which the laptop knows of |
| `dropped` | `stale`; 2:2 was refused, another 2:2 was signed and sent, and the relay took nothing |
| `filed` | `in-step`; 1:4 (a message with a file), 1:5 (where that is stored) at positions 5 and 6; all have read it |
| `filing` | `in-step`; 2:2 (a message with a file) at position 5; its chunk put; 2:3 (where it is) sent, not taken |
| `replaced` | `stale`; 2:2 was refused, and another 2:2 stored, which the phone has read |
"""

from __future__ import annotations

from typing import Final

from sealkeep_conformance.attacks._model import Stage, Step
from sealkeep_conformance.relay.faults import Lose, Withhold

RELAY: Final = "relay"  # in the place of a device


def _written(device: str, *texts: str) -> tuple[Step, ...]:
    return tuple(step for text in texts for step in (Step(device, "write", text), Step(device, "sync")))


def _synced(*devices: str) -> tuple[Step, ...]:
    return tuple(Step(device, "sync") for device in devices)


def _joined(device: str) -> tuple[Step, ...]:
    return Step(device, "recover"), Step(device, "sync")


def _lost(skip: int = 0) -> Step:
    return Step("laptop", "sync", fault=lambda: Lose(before=True), routes=("append",), skip=skip, fails=True)


STAGES: Final = {
    stage.name: stage
    for stage in (
        Stage(
            "in-step",
            None,
            (
                Step("phone", "create"),
                *_written("phone", "p1", "p2"),
                *_joined("laptop"),
                *_written("laptop", "l1"),
                *_joined("tablet"),
                Step("phone", "sync"),
                *_written("phone", "p3"),
                Step("laptop", "sync"),
                Step("tablet", "sync"),
            ),
        ),
        Stage(
            "news", "in-step", (*_written("tablet", "t1"), Step("phone", "sync"), *_written("phone", "p4", "p5", "p6"))
        ),
        Stage(
            "aside",
            "in-step",
            (
                *_written("tablet", "t1"),
                Step("phone", "write", "p4"),
                Step("phone", "sync", fault=lambda: Withhold(device=3, after=0)),
            ),
        ),
        Stage("named", "news", (Step("tablet", "sync"), *_written("tablet", "t2"))),
        Stage("entry", "news", (*_joined("desk"), Step("phone", "sync"), *_written("phone", "p7"))),
        Stage("entries", "entry", (*_joined("attic"), Step("phone", "sync"), *_written("phone", "p8"))),
        Stage("told", "news", (Step("laptop", "sync"), *_written("laptop", "l2"), *_synced("phone", "tablet"))),
        Stage("lost", "told", (Step(RELAY, "put-back", "in-step"),)),
        Stage(
            "since",
            "told",
            (*_joined("desk"), Step("phone", "sync"), *_written("phone", "p7"), *_synced("laptop", "tablet")),
        ),
        Stage("lost-entry", "since", (Step(RELAY, "put-back", "in-step"),)),
        Stage("filed", "in-step", (Step("phone", "attach", "f1"), *_synced("phone", "laptop", "tablet"))),
        Stage("filing", "in-step", (Step("laptop", "attach", "f2"), _lost(skip=1), _lost())),
        Stage("waiting", "in-step", (Step("laptop", "write", "l2"), _lost())),
        Stage("stale", "waiting", (*_joined("desk"), _lost())),
        Stage("dropped", "stale", (_lost(skip=1),)),
        Stage("replaced", "stale", (Step("laptop", "sync"), Step("phone", "sync"))),
    )
}


def path_to(name: str) -> list[Stage]:
    """The stages that lead to one, it included, the first one first."""
    path: list[Stage] = []
    step: str | None = name
    while step is not None:
        path.insert(0, STAGES[step])
        step = path[0].after
    return path


def devices_of(name: str) -> list[str]:
    """The devices that there are at a stage, in the order of their numbers."""
    steps = [step for stage in path_to(name) for step in stage.steps]
    return [step.device for step in steps if step.do in ("create", "recover")]


def texts_of(name: str) -> list[str]:
    """All texts that were written by then, sorted."""
    return sorted(step.text for stage in path_to(name) for step in stage.steps if step.do in ("write", "attach"))
