"""Mending the chain of epochs: what another device's entry spoilt or cut off, a rotation links again (spec §5.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sealkeep_client.engine._actions import Steps
from sealkeep_client.engine._change import Change, Changing
from sealkeep_client.engine._session import Session
from sealkeep_client.engine._state import Account
from sealkeep_protocol.errors import RefusedError


def needs_relinking(account: Account) -> bool:
    """Whether this device is to rotate, for itself or for others."""
    # ROS-22: "A device that does not hold the current epoch, or holds one which links that it has opened do not reach
    # from there, MUST rotate with links to the newest epoch that it holds and to every such one."
    if account.roster.is_closed or account.linked == account.roster.number or not account.epochs:
        return False
    return account.roster.epoch not in account.epochs or account.is_cut_off


def relink(session: Session, *, random: Callable[[int], bytes], time: int | None) -> Steps[bool]:
    """Rotate where that is needed; whether this device did. A relay that has taken too many entries lately puts it off."""
    done = False
    if needs_relinking(session.account):
        changing = Changing(session, Change(), random=random, time=time, needed=needs_relinking)
        try:
            done = (yield from changing.run()).entry is not None
        except RefusedError as refused:
            if refused.code != "busy" or (session.account.holds_current and not session.account.may_seal):
                raise
            return False  # the next sync tries again; reading goes on without
    session.account = replace(session.account, linked=session.account.roster.number)
    return done
