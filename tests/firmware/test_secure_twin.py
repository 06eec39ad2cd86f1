"""A member of secure aggregation in C: the objects of the Python member, byte for byte."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from firmware_twin import Op, Twin

from edgekit.errors import LinkError
from edgekit.federated.aggregate import flat
from edgekit.federated.codecs import Update
from edgekit.federated.secure_client import Member
from edgekit.federated.secure_keys import Place, PublicKeys, Secrets, pair_key, seal_share
from edgekit.federated.secure_objects import (
    Part,
    Roster,
    Shares,
    decode_roster,
    decode_shares,
    encode_inbox,
    encode_request,
    encode_roster,
)
from edgekit.federated.secure_quantize import MAX_LEVELS, Scale
from edgekit.link.status import Status

pytestmark = pytest.mark.cc

PLACE = Place(2**63 + 9, 7)
ROOT = bytes(range(50, 82))
SCALE = Scale(82_595, 4.0, 1000)


def peers(count: int, index: int) -> dict[int, Secrets]:
    others = [at if at < index else at + 1 for at in range(count)]
    return {other: Secrets(bytes([other + 1] * 32)) for other in others}


def roster_of(near: dict[int, Secrets], index: int, scale: Scale = SCALE) -> Roster:
    keys = {other: secrets.public() for other, secrets in near.items()}
    return Roster(index, (len(near) + 1) // 2 + 1, scale, keys)


def inbox_of(near: dict[int, Secrets], index: int, silent: tuple[int, ...] = ()) -> bytes:
    own = Secrets(ROOT).public()
    sealed = {}
    for other, secrets in near.items():
        if other not in silent:
            key = pair_key(secrets.share_key, own.share, b"ek-secure-shares", PLACE, other, index)
            sealed[other] = seal_share(key, PLACE, other, index, bytes([other]) * 64)
    return encode_inbox(PLACE, index, sealed)


def update_of(size: int, seed: int, samples: int = 300) -> Update:
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=2.0, size=size).astype(np.float32)  # some beyond the bound
    values[:4] = 0.0, -0.0, 1e-30, -4.0
    return Update(
        run=PLACE.run,
        round=PLACE.round,
        samples=samples,
        base_hash=bytes(32),
        loss_first=19.5,
        loss_last=0.25,
        weights=values[:-1].reshape(1, -1),
        bias=values[-1:],
    )


def call(update: Update, *objects: bytes) -> bytes:
    values = flat(update)
    head = ROOT + struct.pack("<QII", PLACE.run, PLACE.round, update.samples)
    head += struct.pack("<ffI", update.loss_first, update.loss_last, len(values))
    given = b"".join(struct.pack("<I", len(data)) + data for data in (*objects, b""))
    return head + values.tobytes() + given


def split(data: bytes) -> list[bytes]:
    found = []
    while data:
        length = int.from_bytes(data[:4], "little")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


@pytest.mark.parametrize(
    ("count", "index", "silent", "size", "scale"),
    [
        (2, 0, (), 5, SCALE),
        (3, 9, (1,), 16, Scale(1, 1e-6, 1)),
        (12, 5, (2, 11), 650, SCALE),
        (16, 300, (), 2_048, Scale(MAX_LEVELS, 0.1, 100)),
    ],
)
def test_member_makes_the_bytes_of_python(
    twin: Twin, count: int, index: int, silent: tuple[int, ...], size: int, scale: Scale
) -> None:
    near, update = peers(count, index), update_of(size, count)
    roster = encode_roster(PLACE, roster_of(near, index, scale))
    inbox = inbox_of(near, index, silent)
    wanted = dict.fromkeys(sorted({index, *near} - set(silent)), Part.SEED)
    if count > 4:
        wanted[next(iter(near))] = Part.MASK_KEY
    request = encode_request(PLACE, index, wanted)
    member = Member(PLACE.run, PLACE.round, ROOT)
    if count == 3:  # too few are left of so few
        with pytest.raises(LinkError, match="seeds are asked for") as caught:
            expected = [member.keys(), member.shares(roster), member.masked(inbox, update)]
            member.reveal(encode_request(PLACE, index, {0: Part.SEED, index: Part.SEED}))
        request = encode_request(PLACE, index, {0: Part.SEED, index: Part.SEED})
        status, data = twin.run(Op.SECURE, call(update, roster, inbox, request))
        assert status == caught.value.status == Status.STATE
        assert split(data)[:3] == expected
        return
    expected = [member.keys(), member.shares(roster), member.masked(inbox, update)]
    expected += [member.reveal(request)] * 2
    found = split(twin.bytes(Op.SECURE, call(update, roster, inbox, request, request)))
    assert found == expected


@pytest.mark.parametrize(
    "wanted",
    [
        {0: Part.MASK_KEY, 1: Part.SEED, 2: Part.SEED, 3: Part.SEED},
        {0: Part.SEED, 1: Part.SEED, 2: Part.SEED, 9: Part.SEED},
        {1: Part.SEED, 2: Part.SEED, 3: Part.SEED},
    ],
)
def test_member_refuses_what_goes_too_far(twin: Twin, wanted: dict[int, Part]) -> None:
    near, update = peers(3, 0), update_of(5, 1)
    good = encode_request(PLACE, 0, dict.fromkeys(range(4), Part.SEED))
    bad = encode_request(PLACE, 0, wanted)
    objects = encode_roster(PLACE, roster_of(near, 0)), inbox_of(near, 0)
    member = Member(PLACE.run, PLACE.round, ROOT)
    member.shares(objects[0])
    member.masked(objects[1], update)
    with pytest.raises(LinkError) as caught:
        member.reveal(bad)
    assert twin.run(Op.SECURE, call(update, *objects, bad))[0] == caught.value.status
    # After one request, no other.
    other = encode_request(PLACE, 0, dict.fromkeys(range(3), Part.SEED))
    assert twin.run(Op.SECURE, call(update, *objects, good, other))[0] is Status.STATE


def test_member_holds_no_share_that_does_not_open(twin: Twin) -> None:
    near, update = peers(4, 0), update_of(5, 1)
    roster, inbox = encode_roster(PLACE, roster_of(near, 0)), bytearray(inbox_of(near, 0))
    inbox[40] ^= 1  # of the first share
    request = encode_request(PLACE, 0, dict.fromkeys(range(5), Part.SEED))
    member = Member(PLACE.run, PLACE.round, ROOT)
    expected = [member.keys(), member.shares(roster), member.masked(bytes(inbox), update)]
    expected.append(member.reveal(request))
    assert len(expected[-1]) == 24 + 4 + 4 * 40
    assert split(twin.bytes(Op.SECURE, call(update, roster, bytes(inbox), request))) == expected


def test_rosters_are_judged_as_python_does(twin: Twin) -> None:
    near, update = peers(3, 0), update_of(5, 1)
    good = roster_of(near, 0)
    weak = {**good.peers, 2: PublicKeys(bytes(32), good.peers[2].mask)}
    rosters = [
        encode_roster(PLACE, each)
        for each in (
            good,
            replace(good, threshold=2),
            replace(good, threshold=5),
            replace(good, peers=dict(list(good.peers.items())[:1])),
            replace(good, peers=dict.fromkeys(good.peers, good.peers[1])),
            replace(good, peers=weak),
            replace(good, index=1),
            replace(good, scale=Scale(0, 4.0, 1)),
            replace(good, scale=Scale(MAX_LEVELS + 1, 4.0, 1)),
            replace(good, scale=Scale(9, float("nan"), 1)),
            replace(good, scale=Scale(9, -4.0, 1)),
            replace(good, scale=Scale(9, 4.0, 0)),
        )
    ]
    rosters += [rosters[0][:length] for length in range(0, len(rosters[0]), 7) if length]
    rosters += [rosters[0] + b"x", b"X" + rosters[0][1:]]
    rosters += [encode_roster(Place(PLACE.run, 8), good)]
    found = twin.run_all([(Op.SECURE, call(update, roster)) for roster in rosters])
    for roster, (status, _) in zip(rosters, found, strict=True):
        try:
            Member(PLACE.run, PLACE.round, ROOT).shares(roster)
            expected = int(Status.OK)
        except LinkError as exc:
            expected = exc.status
        assert status == expected, (len(roster), status)
    assert decode_roster(rosters[0], PLACE) == good
    shares = split(found[0][1])[1]
    assert isinstance(decode_shares(shares, PLACE, 0, good.peers), Shares)
