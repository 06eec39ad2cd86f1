"""Secure aggregation: the sum is exact whoever is silent, and nothing else can be read."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from edgekit.errors import ConfigError, LinkError
from edgekit.federated import secure_rounds
from edgekit.federated.aggregate import flat, fold_mean
from edgekit.federated.codecs import HeadWeights, Update
from edgekit.federated.combine import check
from edgekit.federated.plan import RunPlan
from edgekit.federated.rounds import (
    KINDS,
    Fact,
    advance,
    apply,
    open_run,
    replay,
)
from edgekit.federated.secure_client import Member
from edgekit.federated.secure_graph import neighbours, parts, threshold_of
from edgekit.federated.secure_keys import Place, PublicKeys, Secrets
from edgekit.federated.secure_objects import (
    Part,
    Roster,
    decode_inbox,
    decode_masked,
    decode_revealed,
    decode_roster,
    encode_inbox,
    encode_keys,
    encode_request,
    encode_revealed,
    encode_roster,
)
from edgekit.federated.secure_open import _fitting
from edgekit.federated.secure_quantize import EXTRA, Scale, levels_for, quantized, summed
from edgekit.federated.secure_shamir import combine, share
from edgekit.federated.secure_simulate import simulate_secure
from edgekit.federated.secure_state import SecurePhase, scale_of
from edgekit.federated.settings import Settings
from edgekit.federated.state import RunState
from edgekit.link.messages import FederatedReport
from edgekit.service.secure import late_reason

HEAD = HeadWeights(np.linspace(-1, 1, 40, dtype=np.float32).reshape(4, 10), np.zeros(4, "f4"))
SIZE = 44
Drops = dict[tuple[int, SecurePhase], set[str]]


def names(count: int) -> tuple[str, ...]:
    return tuple(f"d{i:02d}" for i in range(count))


def plan(count: int, *, strategy: str = "fedavg", rounds: int = 1, **settings: object) -> RunPlan:
    return RunPlan(
        run=77,
        base_image="ab" * 32,
        strategy=strategy,
        rounds=rounds,
        devices=names(count),
        epochs=1,
        rate=0.1,
        deadline_s=60.0,
        settings=Settings(secure=True, **settings),  # type: ignore[arg-type]
    )


def update(device: str, round_: int, head: HeadWeights, *, spread: float = 0.1) -> Update:
    rng = np.random.default_rng([int(device[1:]), round_])
    return Update(
        run=77,
        round=round_,
        samples=int(rng.integers(1, 3_000)),
        base_hash=head.hash,
        loss_first=2.5,
        loss_last=float(rng.random()),
        weights=rng.normal(scale=spread, size=head.weights.shape).astype(np.float32),
        bias=rng.normal(scale=spread, size=head.bias.shape).astype(np.float32),
    )


def answer(device: str, round_: int, head: HeadWeights) -> list[bytes]:
    return [update(device, round_, head).encode()]


def run(planned: RunPlan, drops: Drops | None = None) -> RunState:
    def gone(round_: int, phase: SecurePhase, device: str) -> bool:
        return device in (drops or {}).get((round_, phase), set())

    return simulate_secure(planned, HEAD, answer, present=planned.devices, gone=gone)


def plain(planned: RunPlan, left: list[set[str]]) -> HeadWeights:
    """The head that the quantised updates of these devices give, without any mask."""
    head, moments, scale = HEAD, (), scale_of(planned)
    for round_, devices in enumerate(left, 1):
        if not devices:
            continue
        total = np.zeros(SIZE + EXTRA, np.int64)
        for device in devices:
            made = update(device, round_, head)
            whole = quantized(
                flat(made),
                scale,
                samples=made.samples,
                losses=(made.loss_first, made.loss_last),
                index=planned.devices.index(device),
                round_=round_,
            )
            total += whole.view(np.int32)
        assert np.abs(total).max() < 2**31
        found = summed(total.astype(np.uint32), scale, len(devices))
        head, moments = fold_mean(
            planned.strategy,
            head,
            found.mean,
            found.weight,
            planned.settings,
            moments=moments,
            progress=(round_ - 1) / planned.rounds,
        )
    return head


@pytest.mark.parametrize("strategy", ["fedavg", "fedavgm", "fedprox", "fedadam", "fedyogi"])
def test_rounds_give_the_head_of_the_quantised_updates(strategy: str) -> None:
    planned = plan(6, strategy=strategy, rounds=2)
    state = run(planned)
    assert [row.accepted for row in state.table] == [6, 6]
    assert state.head.encode() == plain(planned, [set(names(6))] * 2).encode()
    assert state.table[0].loss_first == pytest.approx(2.5, abs=1e-3)


def test_reptile_counts_all_devices_alike() -> None:
    planned = plan(4, strategy="reptile")
    assert scale_of(planned).most_weight == 1
    assert run(planned).head.encode() == plain(planned, [set(names(4))]).encode()


def test_the_mean_is_that_of_the_updates_but_for_the_rounding() -> None:
    planned = plan(5, most_weight=10_000)
    made = [update(device, 1, HEAD) for device in names(5)]
    exact = np.average([flat(each) for each in made], axis=0, weights=[m.samples for m in made])
    step = 4.0 / scale_of(planned).levels
    assert np.abs(flat(run(planned).head) - flat(HEAD) - exact).max() < step + 1e-6


def test_any_device_may_be_silent_from_any_phase_on() -> None:
    everybody = set(names(4))
    for phase, device in itertools.product(SecurePhase, names(4)):
        planned = plan(4)
        state = run(planned, {(1, phase): {device}})
        left = everybody if phase is SecurePhase.UNMASK else everybody - {device}
        assert state.table[0].accepted == len(left), (phase, device, state.table)
        assert state.head.encode() == plain(planned, [left]).encode()


def test_random_drop_outs_up_to_the_threshold_leave_the_sum_exact() -> None:
    rng, devices = random.Random(5), 9  # 9 holders, 5 are needed: 4 may be silent
    for _ in range(12):
        gone = rng.sample(names(devices), 4)
        drops: Drops = {}
        for device in gone:
            drops.setdefault((1, rng.choice(list(SecurePhase))), set()).add(device)
        late = drops.get((1, SecurePhase.UNMASK), set())
        left = set(names(devices)) - (set(gone) - late)
        planned = plan(devices)
        assert run(planned, drops).head.encode() == plain(planned, [left]).encode()


def test_too_few_left_fail_the_round_and_the_run_goes_on() -> None:
    planned = plan(6, rounds=2)  # 6 holders, 4 are needed
    state = run(planned, {(1, SecurePhase.UNMASK): set(names(3))})
    assert [row.accepted for row in state.table] == [0, 6]
    assert "3 shares of the seed of d00 came, 4 are needed" in state.table[0].failed
    assert state.reason == "all rounds done"
    state = run(planned, {(1, SecurePhase.MASKED): set(names(3))})
    assert state.table[0].failed == (
        "3 holders of the shares of d00 are left after phase 'masked', 4 are needed"
    )
    state = run(planned, {(1, SecurePhase.SHARES): set(names(4))})
    assert state.table[0].failed == "2 of 6 devices answered 'shares', at least 3 are needed"
    assert state.table[1].accepted == 6 and state.table[0].silent == names(4)


def test_many_devices_have_few_neighbours() -> None:
    planned = plan(40, neighbours=8)
    drops: Drops = {(1, SecurePhase.MASKED): {"d03", "d20"}, (1, SecurePhase.UNMASK): {"d07"}}
    state = run(planned, drops)
    assert state.table[0].accepted == 38
    left = set(names(40)) - {"d03", "d20"}
    assert state.head.encode() == plain(planned, [left]).encode()


def test_a_cohort_closes_when_enough_have_answered() -> None:
    planned = plan(12, cohort=5, seed=3, over_select=1.4)
    state = run(planned)
    assert state.table[0].accepted == 5 and len(state.table[0].silent) == 2


# The state machine, fact by fact


class Round:
    """A round of which each object may be looked at and changed."""

    def __init__(self, planned: RunPlan) -> None:
        self.planned = planned
        self.facts: list[tuple[Fact, float]] = []
        self.state: RunState | None = None
        self.now_s = 0.0
        self.inbox: dict[str, bytes] = {}
        self.take(open_run(planned, HEAD))
        self.step()
        self.members = {
            device: Member(77, 1, bytes([i + 1] * 32)) for i, device in enumerate(planned.devices)
        }

    def take(self, fact: Fact) -> None:
        self.facts.append((fact, self.now_s))
        self.state = apply(self.state, fact.kind, fact.body, time_s=self.now_s, blob=fact.blob)

    def step(self) -> Fact:
        assert self.state is not None
        fact = advance(self.state, self.now_s)
        assert fact is not None
        self.take(fact)
        return fact

    @property
    def phase(self) -> SecurePhase:
        assert self.state is not None and self.state.secure is not None
        return self.state.secure.phase

    def handed(self, device: str) -> bytes:
        assert self.state is not None
        return secure_rounds.input_of(self.state, device)

    def said(self, device: str) -> bytes:
        member = self.members[device]
        if self.phase is SecurePhase.KEYS:
            return member.keys()
        if self.phase is SecurePhase.SHARES:
            return member.shares(self.handed(device))
        if self.phase is SecurePhase.MASKED:
            return member.masked(self.handed(device), update(device, 1, HEAD))
        return member.reveal(self.handed(device))

    def give(self, device: str, data: bytes | None = None, phase: SecurePhase | None = None) -> str:
        """Deliver for a device; return why it does not count."""
        assert self.state is not None
        data = self.said(device) if data is None else data
        fact = secure_rounds.receive(self.state, device, phase or self.phase, data)
        self.take(fact)
        return str(fact.body.get("reason", ""))

    def all(self) -> None:
        assert self.state is not None
        for device in self.state.missing:
            assert self.give(device) == ""

    def reach(self, phase: SecurePhase) -> None:
        while self.phase < phase:
            self.all()
            self.step()
        if phase is SecurePhase.MASKED:
            self.inbox = {device: self.handed(device) for device in self.members}


@pytest.fixture
def made() -> Round:
    return Round(plan(4))


def test_a_replayed_round_goes_on_with_the_same_bytes(made: Round) -> None:
    for phase in SecurePhase:
        made.reach(phase)
        again = replay(made.facts)
        assert again is not None and made.state is not None
        for device in made.state.missing:
            assert secure_rounds.input_of(again, device) == made.handed(device)
    made.all()
    assert again.secure is not None
    again = replay(made.facts)
    assert again is not None
    closed = advance(again, 0.0)
    assert closed is not None and closed.blob == made.step().blob
    assert {fact.kind for fact, _ in made.facts} <= set(KINDS)


def test_strange_answers_are_refused_with_a_reason(made: Round) -> None:
    keys = made.said("d00")
    assert made.give("d00") == ""
    assert made.give("d00") == "duplicate: d00 has answered phase 'keys' of round 1"
    assert made.give("d01", keys) == "a public key is there twice"
    old = encode_keys(Place(77, 9), Secrets(b"x" * 32).public())
    assert "keys is for run 77 round 9" in made.give("d02", old)
    weak = encode_keys(Place(77, 1), PublicKeys(bytes(32), b"\x07" * 32))
    assert made.give("d03", weak) == "a public key is of low order"
    assert made.give("nobody", keys) == "device nobody is not invited to round 1"
    assert made.give("d00", keys, SecurePhase.SHARES) == "early: round 1 is in phase 'keys'"
    made = Round(plan(4))
    made.reach(SecurePhase.SHARES)
    assert "keys" in made.give("d00", keys, SecurePhase.KEYS)
    shares = made.said("d01")
    assert made.give("d00", shares) == "shares is of member 1, expected 0"
    assert "behind its head" in made.give("d02", shares[:20] + b"\2\0\0\0" + shares[24:-1])
    assert made.give("d03", b"EKSA") == "shares has 4 bytes, its header 24"


def test_shares_that_were_swapped_or_forged_are_not_held(made: Round) -> None:
    made.reach(SecurePhase.MASKED)
    inbox = decode_inbox(made.handed("d00"), Place(77, 1), 0)
    swapped = {1: inbox[2], 2: inbox[1], 3: inbox[3]}
    data = encode_inbox(Place(77, 1), 0, swapped)
    masked = made.members["d00"].masked(data, update("d00", 1, HEAD))
    assert made.give("d00", masked) == ""
    made.all()
    made.step()
    revealed = decode_revealed(made.said("d00"), Place(77, 1), 0)
    assert set(revealed) == {0, 3}  # what did not verify is not passed on
    made.all()
    assert made.step().body["accepted"] == 4


def test_a_wrong_share_is_outvoted_or_fails_the_round(made: Round) -> None:
    made.reach(SecurePhase.UNMASK)
    right = decode_revealed(made.said("d00"), Place(77, 1), 0)
    wrong = {index: (part, bytes(32)) for index, (part, _) in right.items()}
    assert made.give("d00", encode_revealed(Place(77, 1), 0, wrong)) == ""
    made.give("d01")
    made.give("d02")
    assert made.state is not None
    assert advance(made.state, made.now_s) is None  # three came, one of them is wrong
    made.give("d03")
    assert made.step().body["accepted"] == 4
    again = Round(plan(3))
    again.reach(SecurePhase.UNMASK)
    for device in names(3)[:2]:
        right = decode_revealed(again.said(device), Place(77, 1), int(device[1:]))
        wrong = {index: (part, bytes(32)) for index, (part, _) in right.items()}
        again.give(device, encode_revealed(Place(77, 1), int(device[1:]), wrong))
    again.give("d02")
    assert again.step().body["failed"] == "the 3 shares of the seed of d00 do not fit together"


def test_a_liar_beside_a_full_ring_is_outvoted() -> None:
    secret, coefficients = b"s" * 64, [bytes([i] * 64) for i in range(1, 7)]
    shares = {x: share(secret, coefficients, x) for x in range(1, 14)}
    wrong = shares | {x: bytes(64) for x in (1, 2, 9)}
    assert _fitting(wrong, 7, lambda found: found == secret, "it") == secret
    with pytest.raises(LinkError, match="the 7 shares of it do not fit"):
        _fitting(dict(list(wrong.items())[:7]), 7, lambda found: found == secret, "it")


def test_a_device_that_comes_too_late_is_told_so(made: Round) -> None:
    made.reach(SecurePhase.MASKED)
    for device in names(3):
        made.give(device)
    made.now_s = 100.0
    made.step()
    assert made.state is not None and made.phase is SecurePhase.UNMASK
    report = FederatedReport(run=77, round=1, phase=3)
    words = "late: phase 'masked' of round 1 is closed"
    assert late_reason(made.state, "d03", report) == words
    assert late_reason(made.state, "d00", report) == ""  # it was in time
    assert late_reason(made.state, "d03", replace(report, phase=2)) == ""
    assert late_reason(made.state, "d03", replace(report, round=9)) == ""
    late = made.members["d03"].masked(made.inbox["d03"], update("d03", 1, HEAD))
    assert made.give("d03", late, SecurePhase.MASKED) == words
    assert made.state.rejected == (("d03", words),)
    assert secure_rounds.reject(made.state, "d03", SecurePhase.MASKED, words) is None


def test_a_share_that_was_not_asked_for_is_refused(made: Round) -> None:
    made.reach(SecurePhase.UNMASK)
    right = decode_revealed(made.said("d00"), Place(77, 1), 0)
    both = {**right, 1: (Part.MASK_KEY, bytes(32))}
    reason = made.give("d00", encode_revealed(Place(77, 1), 0, both))
    assert reason == "reveals mask_key of member 1, which was not asked for"


# The device


def _request(wanted: dict[int, Part]) -> bytes:
    return encode_request(Place(77, 1), 0, wanted)


def test_a_device_never_reveals_both_secrets_of_one_member(made: Round) -> None:
    made.reach(SecurePhase.UNMASK)
    member, seeds = made.members["d00"], dict.fromkeys(range(4), Part.SEED)
    first = member.reveal(_request(seeds))
    assert member.reveal(_request(seeds)) == first  # a repeated request has the same answer
    for wanted in (seeds | {1: Part.MASK_KEY}, {0: Part.SEED, 1: Part.MASK_KEY}):
        with pytest.raises(LinkError, match="another request"):
            member.reveal(_request(wanted))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({0: Part.MASK_KEY, 1: Part.SEED, 2: Part.SEED, 3: Part.SEED}, "its own"),
        ({0: Part.SEED, 1: Part.MASK_KEY, 2: Part.MASK_KEY, 3: Part.SEED}, "2 seeds"),
        ({0: Part.SEED, 1: Part.SEED, 2: Part.SEED, 9: Part.SEED}, r"\[9\] are not held"),
    ],
)
def test_a_device_refuses_requests_that_go_too_far(
    made: Round, wanted: dict[int, Part], words: str
) -> None:
    made.reach(SecurePhase.UNMASK)
    with pytest.raises(LinkError, match=words):
        made.members["d00"].reveal(_request(wanted))


def test_a_device_masks_one_update_per_round_and_only_with_enough_others(made: Round) -> None:
    made.reach(SecurePhase.MASKED)
    member, trained = made.members["d00"], update("d00", 1, HEAD)
    few = encode_inbox(Place(77, 1), 0, dict(list(inbox_of(made).items())[:1]))
    with pytest.raises(LinkError, match="1 neighbours shared"):
        member.masked(few, trained)
    member.masked(made.handed("d00"), trained)
    with pytest.raises(LinkError, match="masked once"):
        member.masked(made.handed("d00"), trained)


def inbox_of(made: Round) -> dict[int, bytes]:
    return decode_inbox(made.handed("d00"), Place(77, 1), 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: replace(r, threshold=2), "threshold is 2 of 4"),
        (lambda r: replace(r, peers=dict(list(r.peers.items())[:1])), "1 neighbours"),
        (lambda r: replace(r, peers=dict.fromkeys(r.peers, r.peers[1])), "public key twice"),
        (lambda r: replace(r, index=1), "names its reader"),
        (lambda r: replace(r, scale=Scale(0, 1.0, 1)), "0 levels"),
        (lambda r: replace(r, scale=Scale(9, float("inf"), 1)), "bound inf"),
    ],
)
def test_a_device_refuses_a_roster_that_does_not_protect_it(
    made: Round, change: Callable[[Roster], Roster], words: str
) -> None:
    made.reach(SecurePhase.SHARES)
    roster = decode_roster(made.handed("d00"), Place(77, 1))
    with pytest.raises(LinkError, match=words):
        made.members["d00"].shares(encode_roster(Place(77, 1), change(roster)))


# What the server holds


def test_what_the_server_holds_tells_no_single_update(made: Round) -> None:
    """With all that is in the journal, a masked update keeps the masks between survivors."""
    made.reach(SecurePhase.MASKED)
    whole = {}
    for device in names(4):
        each = update(device, 1, HEAD)
        whole[device] = quantized(
            flat(each),
            scale_of(made.planned),
            samples=each.samples,
            losses=(each.loss_first, each.loss_last),
            index=int(device[1:]),
            round_=1,
        )
    made.all()
    made.step()
    made.all()
    made.step()
    blobs = [fact.blob for fact, _ in made.facts if fact.blob is not None]
    masked = [fact.blob for fact, _ in made.facts if fact.body.get("phase") == "masked"]
    masked = [blob for blob in masked if blob is not None]
    assert len(masked) == 4
    total = sum(decode_masked(b, Place(77, 1), i, SIZE + EXTRA) for i, b in enumerate(masked))
    assert any(masked[0][24:] in blob for blob in blobs)  # the search finds what is there
    for device, values in whole.items():
        needles = (values.tobytes()[:64], flat(update(device, 1, HEAD)).tobytes()[:64])
        assert not any(needle in blob for needle in needles for blob in blobs)
    # Each masked update looks like noise: of 47 numbers, none is near the honest ones.
    for blob, values in zip(masked, whole.values(), strict=True):
        got = decode_masked(blob, Place(77, 1), masked.index(blob), SIZE + EXTRA)
        assert (got == values).sum() == 0
    assert (total != sum(whole.values())).all()  # even their sum has the self masks


# Parts


def test_shares_put_a_secret_together_from_any_threshold_of_them() -> None:
    secrets = Secrets(b"k" * 32)
    coefficients = secrets.coefficients(3)
    assert len(coefficients) == 2
    shares = {x: share(secrets.shared(), coefficients, x) for x in range(1, 6)}
    for places in itertools.combinations(shares, 3):
        assert combine({x: shares[x] for x in places}) == secrets.shared()
    assert combine({x: shares[x] for x in (1, 2)}) != secrets.shared()


def test_rings_are_regular_and_whole() -> None:
    known = neighbours(range(50), 6, Place(1, 2))
    assert all(len(set(near)) == 6 and one not in near for one, near in known.items())
    assert all(one in known[other] for one, near in known.items() for other in near)
    assert len(parts(range(50), known)) == 1
    assert known != neighbours(range(50), 6, Place(1, 3))
    assert [threshold_of(n, 0.5) for n in (3, 4, 5, 13)] == [2, 3, 3, 7]
    assert threshold_of(9, 2 / 3) == 7


def test_quantised_values_are_right_in_the_mean_and_bounded() -> None:
    values = np.array([0.3, -0.3, 9.0, -9.0], np.float32)
    scale = Scale(10, 1.0, 5)
    found = [
        quantized(values, scale, samples=2, losses=(99.0, 8.0), index=i, round_=1).view(np.int32)
        for i in range(400)
    ]
    assert np.mean(found, axis=0)[:2] == pytest.approx([6.0, -6.0], abs=0.2)
    assert found[0][2:].tolist() == [20, -20, 2, 20, 10]
    with pytest.raises(LinkError, match="not finite"):
        quantized(values * np.inf, scale, samples=2, losses=(1.0, 1.0), index=0, round_=1)


@pytest.mark.parametrize("count", [3, 26, 1_300])
def test_no_sum_wraps(count: int) -> None:
    levels = levels_for(count, 1000)
    assert count * 1000 * levels < 2**31 <= count * 1000 * (levels + 1) or levels == 2**22


@pytest.mark.parametrize(
    ("strategy", "changes", "words"),
    [
        ("median", {}, "it compares single updates"),
        ("trimmed_mean", {}, "it compares single updates"),
        ("multi_krum", {}, "it compares single updates"),
        ("fedbuff", {}, "masks cancel within a round only"),
        ("tiny_metafed", {}, "keep a part of the parameters"),
        ("fedavg", {"codec": "top_p"}, "masked 32-bit numbers"),
        ("fedavg", {"noise": 1.0, "seed": 1}, "DP noise does not go with"),
        ("fedavg", {"cohort": 2, "seed": 1}, "a sum of 2 devices hides none"),
        ("fedavg", {"secure": False, "neighbours": 4}, "'neighbours' is for secure aggregation"),
        ("fedavg", {"most_weight": 10**6}, "lower 'most_weight'"),
    ],
)
def test_what_does_not_combine_is_refused(
    strategy: str, changes: dict[str, object], words: str
) -> None:
    settings = Settings(**{"secure": True, **changes})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=words):
        check(strategy, settings, devices=20, min_updates=2 + (strategy == "multi_krum"))
