"""A device's secrets of a secure round, which are nowhere but in memory."""

from __future__ import annotations

import logging
import secrets

from edgekit.errors import LinkError
from edgekit.federated.codecs import decode_update
from edgekit.federated.secure_client import Member
from edgekit.federated.secure_keys import KEY_BYTES
from edgekit.federated.secure_state import SecurePhase
from edgekit.link.messages import FederatedTask
from edgekit.link.status import Status

logger = logging.getLogger(__name__)


class SecureWork:
    """Answers the phases of one round after the other, each phase once and in order."""

    def __init__(self) -> None:
        self._member: Member | None = None
        self._phase = 0

    def begin(self, task: FederatedTask) -> bytes:
        """Draw the secrets of a round; return the object of public keys."""
        self._member = Member(task.run, task.round, secrets.token_bytes(KEY_BYTES))
        self._phase = SecurePhase.KEYS
        return self._member.keys()

    def follows(self, task: FederatedTask) -> bool:
        """Say whether a task is the next phase of the round that is under way."""
        member, secure = self._member, task.secure
        return (
            member is not None
            and secure is not None
            and secure.input_hash is not None
            and (member.place.run, member.place.round) == (task.run, task.round)
            and secure.phase == self._phase + 1
        )

    def answer(self, task: FederatedTask, handed: bytes, update: bytes = b"") -> bytes | Status:
        """Return the object of a phase, or why not; after a refusal the round is over here.

        Args:
            handed: The object that the server names in the task.
            update: What was learned, in phase MASKED.
        """
        member = self._member
        if member is None or task.secure is None:
            return Status.STATE
        self._phase = task.secure.phase
        try:
            if task.secure.phase == SecurePhase.SHARES:
                return member.shares(handed)
            if task.secure.phase == SecurePhase.MASKED:
                return member.masked(handed, decode_update(update))
            return member.reveal(handed)
        except LinkError as exc:
            logger.warning("round %d: %s", task.round, exc)
            self._member = None
            return Status(exc.status)
