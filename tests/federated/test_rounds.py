"""Rounds: every way to close, lying clients, and a restart at every event with the same bytes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.federated.checks import NORM_FLOOR
from edgekit.federated.codecs import HeadWeights, Update, compressed, decode_update
from edgekit.federated.rounds import (
    FINISHED,
    ROUND_CLOSED,
    ROUND_OPENED,
    UPDATE,
    Fact,
    Phase,
    RunPlan,
    RunState,
    advance,
    apply,
    due,
    finish,
    open_run,
    receive,
    refused_by_device,
    reject,
    replay,
)
from edgekit.federated.settings import Settings
from edgekit.journal import Journal
from edgekit.link.status import Status

DEVICES = ("ash", "birch", "cedar", "doug", "elm")


def start_head(classes: int = 3, features: int = 4) -> HeadWeights:
    rng = np.random.default_rng(1)
    return HeadWeights(
        rng.normal(size=(classes, features)).astype(np.float32),
        rng.normal(size=classes).astype(np.float32),
    )


def make_plan(**changes: object) -> RunPlan:
    values: dict[str, object] = {
        "run": 7,
        "base_image": "ab" * 32,
        "rounds": 3,
        "devices": DEVICES,
        "epochs": 2,
        "rate": 0.1,
        "deadline_s": 60.0,
    }
    return RunPlan(**(values | changes))  # type: ignore[arg-type]


class Book:
    """A run with its facts kept, as the journal would."""

    def __init__(self, plan: RunPlan, head: HeadWeights | None = None) -> None:
        self.facts: list[tuple[Fact, float]] = []
        self.now = 1_000.0
        self._state: RunState | None = None
        self.add(open_run(plan, head or start_head()))

    @property
    def state(self) -> RunState:
        assert self._state is not None
        return self._state

    def add(self, fact: Fact | None) -> None:
        assert fact is not None
        self.facts.append((fact, self.now))
        self._state = apply(self._state, fact.kind, fact.body, time_s=self.now, blob=fact.blob)

    def run(self) -> None:
        while (fact := advance(self.state, self.now)) is not None:
            self.add(fact)


def make_update(state: RunState, device: str, **changes: object) -> bytes:
    rng = np.random.default_rng([state.round, DEVICES.index(device) if device in DEVICES else 99])
    values: dict[str, object] = {
        "run": state.plan.run,
        "round": state.round,
        "samples": 10 + len(device),
        "base_hash": state.head.hash,
        "loss_first": 2.0,
        "loss_last": 1.0,
        "weights": rng.normal(scale=0.1, size=state.head.weights.shape).astype(np.float32),
        "bias": rng.normal(scale=0.1, size=state.head.bias.shape).astype(np.float32),
    }
    return Update(**(values | changes)).encode()  # type: ignore[arg-type]


def opened(**changes: object) -> Book:
    book = Book(make_plan(**changes))
    book.run()
    assert book.state.phase is Phase.OPEN and book.state.round == 1
    return book


def whole_run(order: Callable[[int], tuple[str, ...]]) -> Book:
    book = opened()
    while book.state.phase is not Phase.FINISHED:
        for device in order(book.state.round):
            book.now += 1
            book.add(receive(book.state, device, make_update(book.state, device)))
        book.run()
    return book


def test_round_closes_when_all_have_answered() -> None:
    book = opened()
    for device in DEVICES:
        assert not due(book.state, book.now)
        book.add(receive(book.state, device, make_update(book.state, device)))
    assert due(book.state, book.now) == "all answered"
    book.run()
    assert book.state.round == 2 and book.state.table[0].accepted == 5


def test_round_closes_at_the_deadline_without_the_dead() -> None:
    book = opened()
    book.add(receive(book.state, "elm", make_update(book.state, "elm")))
    book.now += 59.9
    assert advance(book.state, book.now) is None
    book.now += 0.1
    assert due(book.state, book.now) == "deadline"
    book.run()
    assert book.state.table[0].accepted == 1
    assert book.state.table[0].silent == ("ash", "birch", "cedar", "doug")


def test_round_closes_at_the_target() -> None:
    book = opened(target=2)
    for device in ("doug", "ash"):
        book.add(receive(book.state, device, make_update(book.state, device)))
    assert due(book.state, book.now) == "target"


def test_refusals_count_as_answers_but_not_as_updates() -> None:
    book = opened()
    for device in DEVICES[:4]:
        book.add(receive(book.state, device, make_update(book.state, device)))
    book.add(reject(book.state, "elm", 1, refused_by_device(Status.BASE)))
    book.run()
    row = book.state.table[0]
    assert row.accepted == 4
    assert row.rejected == (
        ("elm", "device refused the task: federated base differs from the local head (-25)"),
    )


def test_run_gives_up_after_two_empty_rounds_and_keeps_its_head() -> None:
    book = opened()
    book.now += 60
    book.run()
    assert book.state.round == 2 and book.state.phase is Phase.OPEN
    book.now += 60
    book.run()
    assert book.state.phase is Phase.FINISHED
    assert "2 rounds in a row with fewer than 1 updates" in book.state.reason
    assert book.state.head.encode() == start_head().encode()


def test_whole_run_learns_and_finishes() -> None:
    book = whole_run(lambda _: DEVICES)
    assert book.state.reason == "all rounds done"
    assert [row.accepted for row in book.state.table] == [5, 5, 5]
    assert book.state.table[-1].head_hash == book.state.head.hash.hex()
    assert book.state.table[0].loss_first == 2.0 and book.state.table[0].loss_last == 1.0


def test_order_of_answers_does_not_change_the_head() -> None:
    first = whole_run(lambda _: DEVICES)
    second = whole_run(lambda round_: DEVICES[round_:] + DEVICES[:round_])
    assert first.state.head.encode() == second.state.head.encode()


def test_restart_at_every_event_gives_the_same_bytes() -> None:
    book = whole_run(lambda _: DEVICES)
    for cut in range(1, len(book.facts)):
        state = replay(book.facts[:cut])
        for fact, time_s in book.facts[cut:]:
            assert state is not None
            if fact.kind == UPDATE:
                again: Fact | None = receive(state, fact.body["device"], fact.blob or b"")
            else:
                again = advance(state, time_s)
            assert again == fact
            state = apply(state, fact.kind, fact.body, time_s=time_s, blob=fact.blob)
        assert state is not None and state.head.encode() == book.state.head.encode()
        assert state.table == book.state.table


def test_run_resumes_from_the_journal(tmp_path: Path) -> None:
    book = whole_run(lambda _: DEVICES)
    with Journal.open(tmp_path) as journal:
        for fact, _ in book.facts:
            journal.append(fact.kind, "7", fact.body, blob=fact.blob)
    with Journal.open(tmp_path) as journal:
        journal.verify()
        state: RunState | None = None
        for event in journal.events(subject="7"):
            blob = None if event.blob is None else journal.blob(event.blob)
            state = apply(state, event.kind, event.body, time_s=event.time_ms / 1e3, blob=blob)
    assert state is not None and state.head.encode() == book.state.head.encode()


def lies() -> list[tuple[str, dict[str, object], str]]:
    head = start_head()

    def filled(value: float) -> dict[str, object]:
        return {"weights": np.full(head.weights.shape, value, np.float32)}

    scaled = np.full(head.weights.shape, NORM_FLOOR * 1e6, np.float32)
    one_nan = np.zeros(head.weights.shape, np.float32)
    one_nan[1, 2] = np.nan
    return [
        ("nan", {"weights": one_nan}, "1 values that are not finite"),
        ("inf", filled(np.inf), "12 values that are not finite"),
        ("minus inf in the bias", {"bias": np.full(3, -np.inf, np.float32)}, "not finite"),
        ("scale 1e6", {"weights": scaled}, "norm of the update"),
        ("float32 max", filled(float(np.finfo(np.float32).max)), "norm of the update"),
        (
            "wrong shape",
            {"weights": np.zeros((4, 3), np.float32), "bias": np.zeros(4, np.float32)},
            "update has shape [4, 3], expected [3, 4]",
        ),
        ("no samples", {"samples": 0}, "update has 0 samples"),
        ("too many samples", {"samples": 2**32 - 1}, "claims 4294967295 samples"),
        ("nan loss", {"loss_last": float("nan")}, "loss 2.0 .. nan is not finite"),
        ("other base", {"base_hash": b"\1" * 32}, "update starts from head 010101010101"),
        ("other run", {"run": 8}, "update is for run 8, expected 7"),
        ("next round", {"round": 2}, "early: update is for round 2, expected 1"),
        ("round 0", {"round": 0}, "late: update is for round 0, expected 1"),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"), [lie[1:] for lie in lies()], ids=[x[0] for x in lies()]
)
def test_lie_is_rejected_with_its_reason(changes: dict[str, object], reason: str) -> None:
    book = opened()
    honest = book.state
    book.add(receive(book.state, "birch", make_update(honest, "birch", **changes)))
    assert not book.facts[-1][0].body["accepted"]
    assert reason in book.facts[-1][0].body["reason"]
    for device in ("ash", "cedar", "doug", "elm"):
        book.add(receive(book.state, device, make_update(honest, device)))
    book.run()
    without = opened()
    for device in ("ash", "cedar", "doug", "elm"):
        without.add(receive(without.state, device, make_update(honest, device)))
    without.now += 60
    without.run()
    assert book.state.head.encode() == without.state.head.encode()


def test_duplicate_late_and_uninvited_are_rejected() -> None:
    book = opened()
    good = make_update(book.state, "ash")
    book.add(receive(book.state, "ash", good))
    duplicate = receive(book.state, "ash", good)
    assert "duplicate: ash has answered round 1" in duplicate.body["reason"]
    book.add(duplicate)
    assert list(book.state.accepted) == ["ash"]
    uninvited = receive(book.state, "mallory", make_update(book.state, "mallory"))
    assert "not invited" in uninvited.body["reason"]
    book.add(uninvited)
    late = make_update(book.state, "birch")
    book.now += 60
    book.run()
    assert book.state.round == 2
    previous = receive(book.state, "birch", late)
    assert "late: update is for round 1, expected 2" in previous.body["reason"]
    book.add(previous)
    assert not book.state.accepted


def test_late_report_is_recorded_once_and_never_for_those_who_were_in_time() -> None:
    book = opened()
    book.add(receive(book.state, "ash", make_update(book.state, "ash")))
    book.now += 60
    book.run()
    assert reject(book.state, "ash", 1, "late: round 1 is closed") is None
    book.add(reject(book.state, "elm", 1, "late: round 1 is closed"))
    assert reject(book.state, "elm", 1, "late: round 1 is closed") is None
    assert "elm" in book.state.missing
    assert reject(book.state, "elm", 3, "early") is None
    assert reject(book.state, "mallory", 1, "late") is None


def test_malformed_bytes_are_rejected_with_what_was_found() -> None:
    book = opened()
    for data, reason in [(b"", "0 bytes"), (b"EKUP", "4 bytes"), (b"X" * 200, "b'XXXX'")]:
        assert reason in receive(book.state, "ash", data).body["reason"]


def test_abort_finishes_at_any_time() -> None:
    book = opened()
    book.add(finish(book.state, "aborted: by hand"))
    assert book.state.phase is Phase.FINISHED
    assert advance(book.state, book.now + 1e6) is None


def test_facts_out_of_turn_are_refused() -> None:
    book = opened()
    facts = {fact.kind: fact for fact, _ in whole_run(lambda _: DEVICES).facts}
    bad = [facts[ROUND_OPENED], facts[ROUND_CLOSED], open_run(make_plan(), start_head())]
    for fact in bad:
        with pytest.raises(ValueError):
            apply(book.state, fact.kind, fact.body, time_s=0.0, blob=fact.blob)
    with pytest.raises(ValueError):
        apply(None, FINISHED, facts[FINISHED].body, time_s=0.0, blob=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "best"},
        {"devices": ()},
        {"devices": ("ash", "ash")},
        {"run": 0},
        {"rounds": 0},
        {"epochs": 0},
        {"deadline_s": 0.0},
        {"deadline_s": math.inf},
        {"deadline_s": math.nan},
        {"epochs": 1_001},
        {"rate": math.nan},
        {"rate": math.inf},
        {"rate": -0.1},
        {"decay": 1e39},
    ],
)
def test_plan_that_makes_no_sense_is_a_mistake(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        make_plan(**changes)


def test_hundred_devices_half_of_them_leaving_close_in_time() -> None:
    devices = tuple(f"dev-{i:03d}" for i in range(100))
    book = Book(make_plan(devices=devices, rounds=2))
    book.run()
    for round_ in itertools.count(1):
        if book.state.phase is Phase.FINISHED:
            break
        for device in devices[round_ % 2 :: 2]:
            book.now += 0.1
            book.add(receive(book.state, device, make_update(book.state, device)))
        assert advance(book.state, book.now) is None
        book.now = book.state.opened_s + 60
        book.run()
    assert [row.accepted for row in book.state.table] == [50, 50]
    replayed = replay(book.facts)
    assert replayed is not None and replayed.head.encode() == book.state.head.encode()


def test_too_few_updates_leave_the_head_as_it_is() -> None:
    book = opened(min_updates=2)
    for _ in range(2):
        book.add(receive(book.state, "ash", make_update(book.state, "ash")))
        book.now += 60
        book.run()
    assert book.state.reason == "2 rounds in a row with fewer than 2 updates"
    assert book.state.head.encode() == start_head().encode()
    with pytest.raises(ValueError, match="too few for 9 updates"):
        make_plan(min_updates=9)


def test_cohort_invites_some_and_closes_when_enough_answered() -> None:
    book = opened(settings=Settings(cohort=2, over_select=1.5, seed=3), min_updates=2)
    invited = book.state.invited
    assert len(invited) == 3 and book.state.missing == invited
    outside = next(device for device in DEVICES if device not in invited)
    book.add(receive(book.state, outside, make_update(book.state, outside)))
    assert "not invited" in book.facts[-1][0].body["reason"]
    for device in invited[:2]:
        book.add(receive(book.state, device, make_update(book.state, device)))
    assert due(book.state, book.now) == "target"


def test_memory_of_the_server_is_the_same_after_a_replay() -> None:
    """A strategy with moments goes on from a journal with the same bytes as without a break."""
    settings = Settings(server_rate=0.1)
    book = opened(strategy="fedyogi", settings=settings)
    while book.state.phase is not Phase.FINISHED:
        for device in DEVICES:
            book.add(receive(book.state, device, make_update(book.state, device)))
        again = replay(book.facts)
        assert again is not None
        book.run()
        fact = advance(again, book.now)
        assert fact is not None and fact.blob == book.state.head.encode()
    assert len(book.state.moments) == 2 and book.state.plan.settings == settings


def test_buffer_counts_stale_updates_once_and_not_for_ever() -> None:
    settings = Settings(buffer=2, max_staleness=1, clip=0)
    book = opened(strategy="fedbuff", settings=settings, rounds=5)
    slow = make_update(book.state, "elm")
    slower = make_update(book.state, "doug")
    for device in ("ash", "birch"):
        book.add(receive(book.state, device, make_update(book.state, device)))
    book.run()
    assert book.state.round == 2
    assert book.state.busy == {"ash": 2, "birch": 2, "cedar": 1, "doug": 1, "elm": 1}
    assert book.state.awaits("elm", 1) and not book.state.awaits("elm", 2)
    book.add(receive(book.state, "elm", slow))
    assert list(book.state.accepted) == ["elm"]
    base = book.state.head
    book.add(receive(book.state, "ash", make_update(book.state, "ash")))
    parts = book.state.accepted
    book.run()
    assert book.state.round == 3
    moved = (parts["ash"].weights + parts["elm"].weights / math.sqrt(2)) / 2
    np.testing.assert_allclose(book.state.head.weights, base.weights + moved, rtol=1e-5, atol=1e-6)
    # The first answer of elm again is a replay, round 1 is too old by now for the others.
    book.add(receive(book.state, "elm", slow))
    assert "late: update is for round 1" in book.facts[-1][0].body["reason"]
    book.add(receive(book.state, "doug", slower))
    assert "late: update is for round 1" in book.facts[-1][0].body["reason"]
    assert book.state.busy["cedar"] == 3


def test_answer_to_an_older_task_is_no_second_answer() -> None:
    book = opened(strategy="fedbuff", settings=Settings(buffer=2), rounds=5)
    first = make_update(book.state, "ash")
    book.add(receive(book.state, "ash", first))
    book.add(receive(book.state, "birch", make_update(book.state, "birch")))
    book.run()
    book.add(receive(book.state, "ash", first))
    assert "replay: update is for round 1" in book.facts[-1][0].body["reason"]


def test_update_in_another_codec_is_rejected() -> None:
    book = opened(settings=Settings(codec="top_p", share=0.5))
    plain = make_update(book.state, "ash")
    book.add(receive(book.state, "ash", plain))
    assert "came as float32, expected top_p" in book.facts[-1][0].body["reason"]
    sparse = compressed(decode_update(make_update(book.state, "elm")), "top_p", share=0.4)
    book.add(receive(book.state, "elm", sparse.encode()))
    assert "holds 6 entries, expected 8" in book.facts[-1][0].body["reason"]
    good = compressed(decode_update(make_update(book.state, "doug")), "top_p", share=0.5)
    book.add(receive(book.state, "doug", good.encode()))
    assert list(book.state.accepted) == ["doug"]


def test_plan_that_does_not_combine_is_refused() -> None:
    with pytest.raises(ValueError, match="median does not go with top-P"):
        make_plan(strategy="median", settings=Settings(codec="top_p"))
