"""Rollouts: waves, every way to fail, halting in time, and a restart at every event."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.fleet.rollouts import (
    DEVICE,
    FINISHED,
    HALTED,
    WAVE,
    Fact,
    Limits,
    Observation,
    Phase,
    Result,
    RolloutPlan,
    RolloutState,
    abort,
    apply,
    bucket,
    make_plan,
    pause,
    resume,
    start,
    step,
    wanted,
)
from edgekit.journal import Journal
from edgekit.link.messages import UpdateState
from edgekit.link.status import Status

IMAGE, OLD = "ab" * 32, "cd" * 32
LIMITS = Limits(deadline_s=100.0, soak_s=10.0)


def names(count: int) -> list[str]:
    return [f"dev-{i:04d}" for i in range(count)]


def plan_of(count: int = 10, **changes: object) -> RolloutPlan:
    values: dict[str, object] = {
        "rollout": "r1",
        "image_id": IMAGE,
        "counter": 2,
        "device_class": "host",
        "devices": names(count),
        "waves": (1, 0.5, 1.0),
        "limits": LIMITS,
    }
    return make_plan(**(values | changes))  # type: ignore[arg-type]


def running() -> Observation:
    return Observation(active_image=IMAGE, update_state=UpdateState.INSTALLED, update_image=IMAGE)


def old() -> Observation:
    return Observation(active_image=OLD, update_state=UpdateState.IDLE, update_image=None)


def refusing(status: Status = Status.GOLDEN) -> Observation:
    return Observation(
        active_image=OLD, update_state=UpdateState.REFUSED, update_image=IMAGE, status=status
    )


class Book:
    """A rollout with its facts kept, as the journal would."""

    def __init__(self, plan: RolloutPlan) -> None:
        self.now = 1_000.0
        fact = start(plan)
        self.facts = [(fact, self.now)]
        self.state = apply(None, fact.kind, fact.body, time_s=self.now)
        self.see()

    def see(self, **seen: Observation) -> None:
        self.see_all({device.replace("_", "-"): what for device, what in seen.items()})

    def see_all(self, seen: dict[str, Observation]) -> None:
        self.state, facts = step(self.state, seen, self.now)
        self.facts += [(fact, self.now) for fact in facts]

    def add(self, fact: Fact) -> None:
        self.facts.append((fact, self.now))
        self.state = apply(self.state, fact.kind, fact.body, time_s=self.now)

    def offered(self) -> list[str]:
        return [d for d, known in self.state.devices.items() if known.result is Result.OFFERED]

    def install_wave(self) -> None:
        self.now += 1
        self.see_all({device: running() for device in self.offered()})

    def soak(self) -> None:
        self.now += LIMITS.soak_s
        self.see()


def replay(facts: list[tuple[Fact, float]]) -> RolloutState:
    state: RolloutState | None = None
    for fact, time_s in facts:
        state = apply(state, fact.kind, fact.body, time_s=time_s)
    assert state is not None
    return state


def test_waves_go_out_one_after_the_other_and_finish() -> None:
    book = Book(plan_of())
    assert len(book.offered()) == 1
    book.install_wave()
    assert book.state.settled_s == book.now and not book.offered()
    book.now += LIMITS.soak_s - 0.1
    book.see()
    assert book.state.wave == 0
    book.now += 0.1
    book.see()
    assert book.state.wave == 1 and len(book.offered()) == 4
    book.install_wave()
    book.soak()
    assert len(book.offered()) == 5
    book.install_wave()
    book.soak()
    assert book.state.phase is Phase.FINISHED
    assert book.state.reason == "10 of 10 devices installed"


def test_only_the_reported_active_image_counts_as_installed() -> None:
    book = Book(plan_of(1))
    claim = Observation(active_image=OLD, update_state=UpdateState.INSTALLED, update_image=IMAGE)
    book.see(dev_0000=claim)
    assert book.offered() == ["dev-0000"]
    book.see(dev_0000=running())
    assert book.state.devices["dev-0000"].result is Result.INSTALLED


def test_refusal_halts_with_its_status_and_sends_devices_back() -> None:
    book = Book(plan_of(1))
    book.see(dev_0000=refusing())
    assert book.state.phase is Phase.HALTED
    assert "1 refused, golden vector does not match (-14)" in book.state.reason
    assert wanted(book.state) == {"dev-0000": False}
    assert book.facts[-2][0].body["status"] == -14


def test_refusal_of_another_image_is_not_ours() -> None:
    book = Book(plan_of(1))
    book.see(
        dev_0000=Observation(
            active_image=OLD, update_state=UpdateState.REFUSED, update_image=OLD, status=Status.HASH
        )
    )
    assert book.offered() == ["dev-0000"]


def test_silence_until_the_deadline_is_a_failure() -> None:
    book = Book(plan_of(1))
    book.see(dev_0000=old())
    book.now += 99.9
    book.see()
    assert book.state.phase is Phase.RUNNING
    book.now += 0.1
    book.see()
    assert book.state.phase is Phase.HALTED and "1 silent" in book.state.reason
    assert book.state.devices["dev-0000"].status is Status.TIMEOUT


def test_device_that_went_back_by_itself_is_a_failure() -> None:
    book = Book(plan_of())
    book.install_wave()
    (device,) = book.state.devices
    book.see_all({device: old()})
    assert book.state.devices[device].result is Result.REFUSED
    assert book.state.phase is Phase.HALTED


def test_silent_device_that_comes_back_counts_again() -> None:
    book = Book(plan_of(20, limits=Limits(deadline_s=100, soak_s=10, min_success=0.5)))
    book.install_wave()
    book.soak()
    late, *others = book.offered()
    book.see_all({device: running() for device in others})
    book.now += 100
    book.see()
    assert book.state.devices[late].result is Result.SILENT
    book.see_all({late: running()})
    assert book.state.devices[late].result is Result.INSTALLED


def test_tolerated_failures_do_not_halt_but_one_more_does() -> None:
    limits = Limits(deadline_s=100, soak_s=10, min_success=0, max_failures=2)
    book = Book(plan_of(10, waves=(1.0,), limits=limits))
    book.see_all({device: refusing() for device in book.offered()[:2]})
    assert book.state.phase is Phase.RUNNING
    book.see_all({book.offered()[0]: refusing(Status.HASH)})
    assert book.state.phase is Phase.HALTED
    assert "3 devices failed, at most 2 may" in book.state.reason


def test_wave_that_cannot_succeed_any_more_halts_without_waiting() -> None:
    book = Book(plan_of(100, waves=(1.0,)))
    book.see_all({device: refusing() for device in book.offered()[:5]})
    assert book.state.phase is Phase.RUNNING
    book.see_all({book.offered()[0]: refusing()})
    assert book.state.phase is Phase.HALTED and "wave 1: 6 of 100" in book.state.reason


def test_after_a_halt_the_installed_keep_what_they_run() -> None:
    book = Book(plan_of(10))
    book.install_wave()
    first = next(iter(book.state.devices))
    book.soak()
    bad, slow, *rest = book.offered()
    book.see_all({bad: refusing()})
    assert book.state.phase is Phase.HALTED
    assert wanted(book.state) == {first: True, bad: False, slow: False} | dict.fromkeys(rest, False)
    book.see_all({slow: running()})  # was already switching when the halt came
    assert wanted(book.state)[slow] and not wanted(book.state)[bad]
    book.see_all({first: old()})
    assert book.state.devices[first].result is Result.INSTALLED


def test_pause_stops_waves_and_deadlines_and_resume_goes_on() -> None:
    book = Book(plan_of())
    book.now += 90
    book.add(pause(book.state, "by hand"))
    book.now += 1_000
    book.see()
    assert book.state.phase is Phase.PAUSED and book.offered()
    book.install_wave()
    assert book.state.wave == 0
    book.add(resume(book.state, "by hand"))
    book.soak()
    assert book.state.wave == 1


def test_deadline_goes_on_where_the_pause_took_it() -> None:
    book = Book(plan_of())
    book.now += 90
    book.add(pause(book.state, "by hand"))
    book.now += 1_000
    book.add(resume(book.state, "by hand"))
    book.now += 9
    book.see()
    assert book.state.phase is Phase.RUNNING
    book.now += 1
    book.see()
    assert book.state.phase is Phase.HALTED


def test_abort_halts_and_sends_devices_back() -> None:
    book = Book(plan_of())
    book.add(abort(book.state, "wrong model"))
    assert book.state.phase is Phase.HALTED and book.state.reason == "aborted: wrong model"
    assert set(wanted(book.state).values()) == {False}
    for fact in (abort, pause, resume):
        with pytest.raises(ValueError, match="is halted"):
            fact(book.state, "again")


def test_device_that_runs_the_image_already_is_done_at_once() -> None:
    book = Book(plan_of(1))
    book.see(dev_0000=running())
    book.see(dev_0000=running())
    assert [fact.kind for fact, _ in book.facts].count(DEVICE) == 1


def test_observation_before_the_offer_changes_nothing() -> None:
    book = Book(plan_of(10))
    later = [device for device in names(10) if device not in book.state.devices]
    book.see_all({device: refusing() for device in later} | {"stranger": refusing()})
    assert len(book.state.devices) == 1 and book.state.phase is Phase.RUNNING


def test_raising_a_part_only_adds_devices() -> None:
    small, large = plan_of(200, waves=(0.1, 1.0)), plan_of(200, waves=(0.3, 1.0))
    assert set(small.wave_devices(0)) < set(large.wave_devices(0))
    assert bucket("r1", "dev-0001") == bucket("r1", "dev-0001") != bucket("r2", "dev-0001")


@pytest.mark.parametrize(
    ("count", "waves", "expected"),
    [
        (10, (1, 0.5, 1.0), (1, 5, 10)),
        (1, (1, 0.5, 1.0), (1,)),
        (3, (0.01, 0.1), (1, 3)),
        (1000, (1, 0.01, 0.1, 0.5), (1, 10, 100, 500, 1000)),
        (5, (50,), (5,)),
    ],
)
def test_waves_become_rising_numbers(
    count: int, waves: tuple[int | float, ...], expected: tuple[int, ...]
) -> None:
    assert plan_of(count, waves=waves).waves == expected


@pytest.mark.parametrize("wave", [0, -1, 0.0, 1.5])
def test_wave_that_makes_no_sense_is_a_mistake(wave: float) -> None:
    with pytest.raises(ValueError, match="neither a number"):
        plan_of(10, waves=(wave,))


def test_plan_without_devices_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="has no devices"):
        plan_of(0)


def finished_run() -> Book:
    book = Book(plan_of(10))
    book.install_wave()
    book.add(pause(book.state, "night"))
    book.now += 500
    book.add(resume(book.state, "morning"))
    book.soak()
    book.install_wave()
    book.soak()
    book.install_wave()
    book.soak()
    assert book.state.phase is Phase.FINISHED
    return book


def halted_run() -> Book:
    book = Book(plan_of(10))
    book.install_wave()
    book.soak()
    bad, late, *_ = book.offered()
    book.see_all({bad: refusing(), late: old()})
    book.see_all({late: running()})
    return book


@pytest.mark.parametrize("make", [finished_run, halted_run])
def test_restart_at_every_event_gives_the_same_state(make: Callable[[], Book]) -> None:
    book = make()
    assert replay(book.facts) == book.state
    for cut in range(1, len(book.facts)):
        state = replay(book.facts[:cut])
        fact, time_s = book.facts[cut]
        if fact.kind in (WAVE, FINISHED) or (fact.kind == HALTED and "aborted" not in str(fact)):
            again = step(state, {}, time_s)[1]
            assert again[0] == fact


def test_rollout_resumes_from_the_journal(tmp_path: Path) -> None:
    book = finished_run()
    with Journal.open(tmp_path) as journal:
        for fact, _ in book.facts:
            journal.append(fact.kind, "r1", fact.body)
        state: RolloutState | None = None
        for event in journal.events(subject="r1"):
            state = apply(state, event.kind, event.body, time_s=event.time_ms / 1e3)
    assert state is not None and state.phase is Phase.FINISHED
    assert {d: k.result for d, k in state.devices.items()} == {
        d: k.result for d, k in book.state.devices.items()
    }


def test_facts_out_of_turn_are_refused() -> None:
    book = finished_run()
    for fact, time_s in book.facts:
        with pytest.raises(ValueError):
            apply(book.state, fact.kind, fact.body, time_s=time_s)


@pytest.mark.parametrize("fault", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_thousand_devices_with_faults_halt_in_time(fault: float, seed: int) -> None:
    """A bad release reaches at most the canary and one wave; silence and refusals both count."""
    rng = random.Random(seed)
    devices = names(1_000)
    broken = set(rng.sample(devices, int(fault * len(devices))))
    limits = Limits(deadline_s=60, soak_s=30, max_failures=0)
    book = Book(plan_of(1_000, waves=(1, 0.1, 0.5, 1.0), rollout=f"r{seed}", limits=limits))
    answers = {d: rng.choice([refusing(), None]) if d in broken else running() for d in devices}
    while book.state.active:
        book.now += 5
        seen = {
            device: answer
            for device in book.offered()
            if rng.random() < 0.5 and (answer := answers[device]) is not None
        }
        book.see_all(seen)
        assert book.now < 1_000 + 4 * (60 + 30 + 5) + 60
    assert book.state.phase is Phase.HALTED
    assert len(book.state.devices) <= 100
    assert replay(book.facts) == book.state


def test_thousand_good_devices_all_install() -> None:
    book = Book(plan_of(1_000, waves=(1, 0.01, 0.1, 0.5, 1.0)))
    while book.state.active:
        book.install_wave()
        book.soak()
    assert book.state.phase is Phase.FINISHED and book.state.count(Result.INSTALLED) == 1_000
