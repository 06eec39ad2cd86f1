"""Competency questions on a small fleet."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from registry.fleet_fixture import (
    DIGITS_1,
    DIGITS_2,
    FUSION,
    KEYWORDS,
    LARGE,
    board,
    model,
    plain_events,
    reported,
)

from edgekit.errors import StoreError
from edgekit.journal.journal import Event
from edgekit.registry import fleet as fleet_of
from edgekit.registry import match, tables
from edgekit.registry.match import Match
from edgekit.registry.project import project
from edgekit.registry.rules import FIRMWARE_RAM_BYTES, Budget, Reason, with_margin
from edgekit.registry.store import Store
from edgekit.registry.sync import apply, projected


def codes(matches: tuple[Match, ...], name: str) -> list[str]:
    return [reason.code for m in matches if m.name == name for reason in m.reasons]


def test_models_for_board_ranks_fitting_by_accuracy(fleet: Store) -> None:
    fitting = [m.name for m in match.models_for_board(fleet, "cam") if m.fits]
    assert fitting == ["digits 2", "digits 1"]


def test_fitting_models_are_those_without_reasons(fleet: Store) -> None:
    for name in ("cam", "imu", "mic", "tiny", "foreign"):
        expected = tuple(m for m in match.models_for_board(fleet, name) if m.fits)
        assert match.fitting_models(fleet, board=name) == expected
    for name in ("d1", "d2", "d3", "d4", "d5", "d6"):
        expected = tuple(m for m in match.models_for_device(fleet, name) if m.fits)
        assert match.fitting_models(fleet, device=name) == expected
    assert match.fitting_models(fleet, board="cam", task="motion") == ()


def test_models_for_board_gives_every_reason(fleet: Store) -> None:
    found = match.models_for_board(fleet, "cam")
    assert codes(found, "large 1") == ["ram", "arena", "slot", "operator"]
    assert codes(found, "keywords 1") == ["device_class", "sensor"]
    # sum of arena and firmware, and a tenth of it, rounded up
    total = 200_000 + FIRMWARE_RAM_BYTES
    reason = next(m.reasons[0] for m in found if m.iri.endswith(LARGE))
    assert reason == Reason("ram", total + -(-total // 10), 262_144)
    assert str(reason) == "needs 292090 bytes of RAM with firmware and margin, board has 262144"


def test_model_that_needs_two_sensors_is_not_matched_by_one(fleet: Store) -> None:
    for name, missing in (("cam", "accelerometer"), ("imu", "camera")):
        found = match.models_for_board(fleet, name)
        reasons = next(m.reasons for m in found if m.iri.endswith(FUSION))
        assert Reason("sensor", missing, "not on the board") in reasons


def test_data_board_says_why(fleet: Store) -> None:
    assert codes(match.models_for_board(fleet, "tiny"), "digits 1") == ["support", "ram"]


def test_image_registered_for_two_classes_fits_both_boards(fleet: Store) -> None:
    for seq, device_class in enumerate(("cam", "imu"), projected(fleet) + 1):
        body = model(DIGITS_1, "digits", device_class=device_class)
        (event, _), *_ = plain_events([("model.registered", DIGITS_1, body, None)])
        apply(fleet, replace(event, seq=seq))
    # It was portable before: that stays true, the image is the same.
    assert codes(match.models_for_board(fleet, "mic"), "digits 1") == ["operator"]
    body = model(KEYWORDS, "keywords", device_class="imu", sensors=["microphone"])
    (event, _), *_ = plain_events([("model.registered", KEYWORDS, body, None)])
    apply(fleet, replace(event, seq=projected(fleet) + 1))
    assert codes(match.models_for_board(fleet, "imu"), "keywords 1") == ["sensor"]
    found = next(m for m in match.models_for_board(fleet, "cam") if m.name == "keywords 1")
    assert [str(reason) for reason in found.reasons if reason.code == "device_class"] == [
        "made for imu, found cam",
        "made for mic, found cam",
    ]


def test_trainable_head_counts_in_ram(fleet: Store) -> None:
    rows = {m.iri: m.size_bytes for m in match.models_for_board(fleet, "cam")}
    assert rows[f"https://w3id.org/edgekit/id/model/{DIGITS_1}"] == 18_432 + 4 * 10 * 33


def test_models_for_device_uses_what_it_reported(fleet: Store) -> None:
    assert match.models_for_device(fleet, "d1")[0].name == "digits 2"
    # d3 has 9,000 bytes beside the 18,432 of its active model, which leaves them to the next one.
    (reason,) = next(
        m.reasons for m in match.models_for_device(fleet, "d3") if m.name == "digits 2"
    )
    assert reason == Reason("ram_free", 28_000, 27_432)
    assert codes(match.models_for_device(fleet, "d3"), "digits 1") == []
    assert codes(match.models_for_device(fleet, "d4"), "digits 1") == ["kernel_set"]
    assert codes(match.models_for_device(fleet, "d5"), "digits 2") == ["revoked"]


def test_devices_for_model_with_first_blocking_reason(fleet: Store) -> None:
    found = match.devices_for_model(fleet, "digits:2")
    assert [m.name for m in found if m.fits] == ["d1", "d2"]
    first = {m.name: m.reasons[0].code for m in found if not m.fits}
    assert first == {"d3": "ram_free", "d4": "kernel_set", "d5": "revoked", "d6": "operator"}


def test_smallest_board(fleet: Store) -> None:
    smallest = match.smallest_board(fleet, DIGITS_1)
    assert smallest is not None and smallest.name == "imu"
    smallest = match.smallest_board(fleet, DIGITS_2)
    assert smallest is not None and smallest.name == "cam"
    assert match.smallest_board(fleet, LARGE) is None


def test_best_model_for_task(fleet: Store) -> None:
    found = match.models_for_board(fleet, "cam", task="image-classification")
    assert [m.name for m in found] == ["digits 2", "digits 1", "large 1"]


def test_what_runs_where(fleet: Store) -> None:
    rows = {p.device: (p.board, p.presence, p.name) for p in fleet_of.placements(fleet)}
    assert rows["d1"] == ("cam", "online", "digits 1")
    assert rows["d4"] == ("imu", "lost", "digits 1")
    assert rows["d6"] == ("mic", "", "")
    assert [p.device for p in fleet_of.placements(fleet, model=DIGITS_2)] == []


def test_who_runs_an_image(fleet: Store) -> None:
    assert fleet_of.carriers(fleet, DIGITS_1) == ("d1", "d2", "d3", "d4", "d5")
    assert fleet_of.carriers(fleet, KEYWORDS) == ()


def test_desired_differs_from_reported(fleet: Store) -> None:
    (row,) = fleet_of.out_of_step(fleet)
    assert (row.device, row.desired, row.reported) == ("d1", DIGITS_2, DIGITS_1)


def test_cohort_leaves_out_rollouts_the_lost_and_the_revoked(fleet: Store) -> None:
    # d1 is in a running rollout, d4 lost, d5 revoked; the rollouts of d2 and d3 have ended.
    found = fleet_of.cohort(fleet, features=32, classes=10)
    assert [c.device for c in found] == ["d2", "d3"]
    assert {c.image_id for c in found} == {DIGITS_1}
    assert found == fleet_of.cohort(fleet, features=32, classes=10, model=DIGITS_1)
    assert fleet_of.cohort(fleet, features=32, classes=11) == ()
    assert fleet_of.cohort(fleet, features=32, classes=10, model=DIGITS_2) == ()
    assert fleet_of.cohort(fleet, features=32, classes=10, since_ms=1_800_000_000_000) == ()


def test_not_seen(fleet: Store) -> None:
    assert fleet_of.not_seen(fleet, 1_600_000_000_000) == ("d6",)
    assert fleet_of.not_seen(fleet, 1_800_000_000_000) == ("d1", "d2", "d3", "d4", "d6")


def test_lineage_goes_through_run_and_base(fleet: Store) -> None:
    tails = [iri.rsplit("/", 1)[-1] for iri in fleet_of.lineage(fleet, DIGITS_2)]
    assert sorted(tails) == sorted([DIGITS_1, "7", "t1", "digits"])


def test_fleet_counts(fleet: Store) -> None:
    first = next(iter(fleet.named("fleet_counts")))
    assert str(first["devices"]).startswith('"5"')


@pytest.mark.parametrize("name", ["nothing", "digits", "https://example.org/none", "<x> <y>", '"'])
def test_find_refuses_what_is_not_one_thing(fleet: Store, name: str) -> None:
    with pytest.raises(StoreError):
        match.find(fleet, name, "model")


def test_find_by_name_version_prefix_and_iri(fleet: Store) -> None:
    node = match.find(fleet, DIGITS_2)
    for name in ("digits:2", DIGITS_2[:8], node.value):
        assert match.find(fleet, name, "model") == node


def test_rules_equal_plain_python_on_random_pairs() -> None:
    """The SPARQL rules give exactly the reasons that the same rules in Python give."""
    rng = random.Random(7)
    sensors, ops = ["camera", "microphone", "accelerometer"], ["a", "b", "c"]
    boards: list[dict[str, Any]] = [
        board(
            f"b{n}",
            ram_bytes=rng.randrange(60_000, 400_000),
            arena_bytes=rng.randrange(10_000, 200_000),
            slot_bytes=rng.randrange(10_000, 200_000),
            flash_bytes=rng.randrange(10_000, 400_000),
            sensors=rng.sample(sensors, rng.randrange(4)),
            kernel_ops=rng.sample(ops, rng.randrange(1, 4)),
        )
        for n in range(12)
    ]
    models: list[dict[str, Any]] = [
        model(
            f"{n:064x}",
            f"m{n}",
            arena_bytes=rng.randrange(1_000, 220_000),
            image_bytes=rng.randrange(1_000, 220_000),
            flash_bytes=rng.randrange(1_000, 420_000),
            ops=rng.sample(ops, rng.randrange(1, 4)),
            sensors=rng.sample(sensors, rng.randrange(3)),
            device_class=rng.choice([None, "any", "portable", "b1"]),
        )
        for n in range(1, 13)
    ]
    events = [("board.described", b["name"], b, None) for b in boards]
    store = Store.memory()
    for event, blob in plain_events(
        [*events, *(("model.registered", m["image_id"], m, None) for m in models)]
    ):
        apply(store, event, blob)
    fits = 0
    for b in boards:
        every = match.models_for_board(store, b["name"])
        assert match.fitting_models(store, board=b["name"]) == tuple(m for m in every if m.fits)
        for found in every:
            m = next(m for m in models if found.iri.endswith(m["image_id"]))
            total = m["arena_bytes"] + FIRMWARE_RAM_BYTES
            total += max(-(-total // 10), 2048)
            expected = {
                *(["device_class"] if m["device_class"] == "b1" and b["name"] != "b1" else []),
                *(["ram"] if total > b["ram_bytes"] else []),
                *(["arena"] if m["arena_bytes"] > b["arena_bytes"] else []),
                *(["slot"] if m["image_bytes"] > b["slot_bytes"] else []),
                *(["flash"] if m["flash_bytes"] > b["flash_bytes"] else []),
                *(["operator"] if set(m["ops"]) - set(b["kernel_ops"]) else []),
                *(["sensor"] if set(m["sensors"]) - set(b["sensors"]) else []),
            }
            assert {reason.code for reason in found.reasons} == expected
            memory = {"ram", "arena", "slot", "flash"}
            assert {code for code, left in found.headroom.items() if left < 0} == expected & memory
            fits += found.fits
    assert fits > 0


def test_rules_in_sparql_are_those_in_python(fleet: Store) -> None:
    """`board_reasons.rq` and `rules.py` were written apart; they agree on every pair."""
    for name in ("cam", "imu", "mic", "tiny", "foreign"):
        board = match.find(fleet, name, "board")
        said: dict[str, set[tuple[str, str, str]]] = {}
        for row in fleet.named("board_reasons", {"board": board}):
            found = said.setdefault(str(row["model"])[1:-1], set())
            found.add(tuple(str(getattr(row[key], "value", "")) for key in REASON))  # type: ignore[arg-type]
        for m in match.models_for_board(fleet, name):
            mine = {(r.code, str(r.needed), str(r.found)) for r in m.reasons}
            assert mine == said.get(m.iri, set())


REASON = ("code", "needed", "found")


def test_headroom_is_what_is_left(fleet: Store) -> None:
    found = next(m for m in match.models_for_device(fleet, "d1") if m.name == "digits 2")
    ram = with_margin(28_000 + 4 * 10 * 33 + FIRMWARE_RAM_BYTES)
    assert found.headroom == {
        "ram": 262_144 - ram,
        "arena": 131_072 - 28_000,
        "ram_free": 150_000 + 18_432 - 28_000,
        "slot": 393_216 - 61_440,
        "slot_free": 393_216 - 61_440,
        "flash": 1_048_576 - 90_000,
    }


def test_budget_of_latency_energy_and_licence(fleet: Store) -> None:
    def why(**limits: Any) -> dict[str, list[str]]:
        found = match.models_for_board(fleet, "cam", budget=Budget(**limits))
        return {m.name: [str(r) for r in m.reasons] for m in found}

    assert why(latency_us=20_000)["digits 1"] == []
    assert why(latency_us=20_000)["digits 2"] == [
        "one inference may take 20000 us, found not measured"
    ]
    assert why(energy_uj=500)["digits 1"] == ["one inference may take 500 uJ, found 810"]
    assert why(licenses=frozenset({"MIT", "CC-BY-4.0"}))["digits 1"] == [
        "licence is Apache-2.0, allowed are CC-BY-4.0, MIT"
    ]
    best = match.best_model(fleet, "image-classification", "cam", by="latency")
    assert best is not None and (best.name, best.cost.latency_us) == ("digits 1", 12_400)
    best = match.best_model(fleet, "image-classification", "cam")
    assert best is not None and best.name == "digits 2"
    assert match.best_model(fleet, "motion", "cam") is None


def test_runtime_and_sampling_rate() -> None:
    old = {"runtime": "edgekit", "runtime_version": "0.9.1", "sensor_rates": {"camera": 5}}
    bodies = [board("old", **old), board("new", **(old | {"runtime_version": "0.10.0"}))]
    wants = model(DIGITS_1, "digits", min_runtime="0.10.0", sensors=["camera"], input_rate_hz=30.0)
    events = [("board.described", b["name"], b, None) for b in bodies]
    store = Store.memory()
    for event, blob in plain_events([*events, ("model.registered", DIGITS_1, wants, None)]):
        apply(store, event, blob)
    (found,) = match.models_for_board(store, "old")
    assert [str(r) for r in found.reasons] == [
        "needs runtime 0.10.0, found 0.9.1",
        "needs 30.0 samples a second, the sensor gives 5.0",
    ]
    (found,) = match.models_for_board(store, "new")
    assert [r.code for r in found.reasons] == ["rate"]
    rows = {
        str(row["code"])
        for row in store.named("board_reasons", {"model": match.find(store, "digits")})
    }
    assert rows == {'"runtime"', '"rate"'}


def test_planned_boards_are_judged_by_their_data(fleet: Store) -> None:
    planned = Budget(planned=True)
    assert codes(match.models_for_board(fleet, "tiny", budget=planned), "digits 1") == ["ram"]


def test_devices_are_counted_by_configuration(fleet: Store) -> None:
    for name in ("digits:1", "digits:2", KEYWORDS, FUSION, LARGE):
        judged = match.devices_for_model(fleet, name)
        fit = {m.name for m in judged if m.fits}
        assert match.count_devices(fleet, name) == len(fit)
        first = match.first_devices(fleet, name, 100)
        assert {m.name for m in first} == fit
        assert len(match.first_devices(fleet, name, 1)) == min(1, len(fit))
    # A table that is kept follows the journal.
    before = match.count_devices(fleet, "digits:1")
    body = {"device": "d7", "board": "cam", "fleet": "demo"}
    (event, _), *_ = plain_events([("device.added", "d7", body, None)])
    apply(fleet, replace(event, seq=projected(fleet) + 1))
    assert match.count_devices(fleet, "digits:1") == before + 1


@pytest.mark.parametrize("seed", range(8))
def test_kept_counts_follow_reports(fleet: Store, seed: int) -> None:
    """Whatever devices say, add and lose: the counts are those of a store read anew."""
    rng = random.Random(seed)
    devices = [f"d{number}" for number in range(1, 9)]
    for seq in range(40):
        device = rng.choice(devices)
        kind, body = rng.choice(
            [
                ("device.reported", reported(device, DIGITS_1, ram_free=rng.choice((1, 2, 3)))),
                ("device.reported", reported(device, None, board=rng.choice(("cam", "imu")))),
                ("device.presence", {"device": device, "state": "lost", "boot": seq}),
                ("device.added", {"device": device, "board": "cam", "fleet": "demo"}),
                ("device.revoked", {"device": device, "reason": "stolen"}),
            ]
        )
        fleet.replace_graphs(project(Event(seq, seq, kind, device, "", body, None, "", "")))
        anew = Store.memory()
        anew.extend(fleet.quads())
        kept, read = tables.groups(fleet), tables.groups(anew)
        assert {k: n for k, n in kept.items() if n} == {k: n for k, n in read.items() if n}
