"""A device's side of secure aggregation: one round of one member, phase by phase.

Nothing of it is kept over a restart: a device that starts anew drops out of the round.

Source: Bonawitz et al., 2017, figure 4 (User); with the neighbours of Bell et al., 2020
Twin: firmware/agent/ek_agent_secure.c
"""

from __future__ import annotations

import logging

from edgekit.errors import LinkError
from edgekit.federated.aggregate import flat
from edgekit.federated.codecs import Update
from edgekit.federated.secure_graph import LEAST
from edgekit.federated.secure_keys import (
    KEY_BYTES,
    Place,
    Secrets,
    commitment,
    open_share,
    pair_key,
    pair_mask,
    seal_share,
    self_mask,
)
from edgekit.federated.secure_objects import (
    Part,
    Roster,
    Shares,
    decode_inbox,
    decode_request,
    decode_roster,
    encode_keys,
    encode_masked,
    encode_revealed,
    encode_shares,
)
from edgekit.federated.secure_quantize import quantized
from edgekit.federated.secure_shamir import share
from edgekit.link.status import Status, refuse

logger = logging.getLogger(__name__)

_SHARES = b"ek-secure-shares"


class Member:
    """One device in one round.

    Args:
        root: 32 bytes of a generator for secrets, used for this round alone.
    """

    def __init__(self, run: int, round_: int, root: bytes) -> None:
        self.place = Place(run, round_)
        self._secrets = Secrets(root)
        self._roster: Roster | None = None
        self._inbox: dict[int, bytes] | None = None
        self._masked = False
        self._revealed: dict[int, Part] | None = None

    def keys(self) -> bytes:
        """Return the object of public keys."""
        return encode_keys(self.place, self._secrets.public())

    def shares(self, data: bytes) -> bytes:
        """Share the secrets among the neighbours of a roster.

        Raises:
            LinkError: If the roster is refused, or was another one before.
        """
        roster = decode_roster(data, self.place)
        if self._roster is not None and self._roster != roster:
            raise refuse(Status.STATE, "secrets of this round were shared by another roster")
        public = self._secrets.public()
        seen = [public.share, public.mask]
        for keys in roster.peers.values():
            seen += [keys.share, keys.mask]
        if len(set(seen)) != len(seen):
            raise refuse(Status.RANGE, "roster has a public key twice")
        coefficients = self._secrets.coefficients(roster.threshold)
        sealed = {}
        for at, (index, keys) in enumerate(roster.peers.items()):
            part = share(self._secrets.shared(), coefficients, at + 2)
            key = self._share_key(roster.index, index, keys.share)
            sealed[index] = seal_share(key, self.place, roster.index, index, part)
        self._roster = roster
        proof = commitment(self._secrets.seed)
        return encode_shares(self.place, roster.index, Shares(proof, sealed))

    def masked(self, data: bytes, update: Update) -> bytes:
        """Return the masked update, for the neighbours whose shares are in the inbox.

        Raises:
            LinkError: If the inbox is refused, or an update of this round was masked before.
        """
        roster = self._roster
        if roster is None or self._masked:
            raise refuse(Status.STATE, "an update is masked once, after secrets were shared")
        inbox = decode_inbox(data, self.place, roster.index)
        strangers = set(inbox) - set(roster.peers)
        if strangers:
            raise refuse(Status.RANGE, f"inbox has shares of {sorted(strangers)}, no neighbours")
        if len(inbox) < max(LEAST - 1, roster.threshold - 1):
            raise refuse(
                Status.STATE, f"{len(inbox)} neighbours shared, {roster.threshold - 1} are needed"
            )
        values = quantized(
            flat(update),
            roster.scale,
            samples=update.samples,
            losses=(update.loss_first, update.loss_last),
            index=roster.index,
            round_=self.place.round,
        )
        size = len(values)
        values += self_mask(self._secrets.seed, self.place, roster.index, size)
        for index in inbox:
            public = roster.peers[index].mask
            own = self._secrets.mask_key
            values += pair_mask(own, public, self.place, roster.index, index, size)
        self._inbox, self._masked = self._opened(roster, inbox), True
        return encode_masked(self.place, roster.index, values)

    def reveal(self, data: bytes) -> bytes:
        """Return the shares that are asked for: of the seed or of the mask key, never of both.

        Raises:
            LinkError: If it is asked for both of one member, in one request or another, or for so
                few seeds that hardly anybody would be in the sum.
        """
        roster, inbox = self._roster, self._inbox
        if roster is None or inbox is None:
            raise refuse(Status.STATE, "shares are revealed after the masked update is sent")
        wanted = decode_request(data, self.place, roster.index)
        if self._revealed is not None and wanted != self._revealed:
            raise refuse(Status.STATE, "shares of this round were revealed by another request")
        strangers = set(wanted) - set(roster.peers) - {roster.index}
        if strangers:
            raise refuse(Status.RANGE, f"shares of {sorted(strangers)} are not held here")
        if wanted.get(roster.index) is not Part.SEED:
            raise refuse(Status.STATE, "the mask key of a member that has answered is its own")
        seeds = sum(part is Part.SEED for part in wanted.values())
        if seeds < max(LEAST, roster.threshold):
            raise refuse(
                Status.STATE, f"{seeds} seeds are asked for, {max(LEAST, roster.threshold)} needed"
            )
        self._revealed = wanted
        own = share(self._secrets.shared(), self._secrets.coefficients(roster.threshold), 1)
        held = {**inbox, roster.index: own}
        revealed = {
            index: (part, _half(held[index], part))
            for index, part in wanted.items()
            if index in held
        }
        return encode_revealed(self.place, roster.index, revealed)

    def _opened(self, roster: Roster, inbox: dict[int, bytes]) -> dict[int, bytes]:
        """Open what neighbours sealed; of one that does not verify nothing is held."""
        opened = {}
        for index, sealed in inbox.items():
            key = self._share_key(roster.index, index, roster.peers[index].share)
            try:
                opened[index] = open_share(key, self.place, index, roster.index, sealed)
            except LinkError as exc:
                logger.warning("round %d: %s", self.place.round, exc)
        return opened

    def _share_key(self, own: int, other: int, public: bytes) -> bytes:
        return pair_key(self._secrets.share_key, public, _SHARES, self.place, own, other)


def _half(both: bytes, part: Part) -> bytes:
    return both[:KEY_BYTES] if part is Part.SEED else both[KEY_BYTES:]
