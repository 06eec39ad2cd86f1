"""Strategies by hand: each against numbers that were worked out on paper."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from edgekit.config_federated import FederatedSection
from edgekit.errors import ConfigError, RefusedError
from edgekit.federated.aggregate import draw_cohort, step
from edgekit.federated.codecs import HeadWeights
from edgekit.federated.combine import OPTIONS, check, check_head, table
from edgekit.federated.orders import begin
from edgekit.federated.plan import RunPlan
from edgekit.federated.settings import Settings
from edgekit.federated.strategies import STRATEGIES, Contribution, Global
from edgekit.federated.strategies.defences import Record, defended
from edgekit.federated.strategies.robust import krum_order, liars

OPEN = Settings(clip=0, weight_cap=0, align=False)


def part(*values: float, samples: int = 1, staleness: int = 0) -> Contribution:
    return Contribution(np.asarray(values, np.float32), samples, staleness)


def run(name: str, start: list[float], *rounds: list[Contribution], **changes: float) -> Global:
    settings = Settings(**({"clip": 0.0, "weight_cap": 0.0, "align": False} | changes))  # type: ignore[arg-type]
    state = Global(np.asarray(start, np.float64))
    for index, parts in enumerate(rounds):
        state = step(name, state, parts, settings, progress=index / len(rounds))
    return state


def test_fedavg_and_fedprox_weigh_by_samples() -> None:
    parts = [part(1.0, samples=3), part(5.0, samples=1)]
    assert run("fedavg", [10.0], parts).values.tolist() == [12.0]
    assert run("fedprox", [10.0], parts).values.tolist() == [12.0]
    assert run("fedavg", [10.0], parts, server_rate=0.5).values.tolist() == [11.0]


def test_fedavgm_keeps_a_momentum() -> None:
    # v = 1, then 0.5 * 1 + 2 = 2.5; w = 1, then 3.5
    state = run("fedavgm", [0.0], [part(1.0)], [part(2.0)], momentum=0.5)
    assert state.values.tolist() == [3.5] and state.moments[0].tolist() == [2.5]


def test_fedadam_two_rounds_by_hand() -> None:
    # m = 0.5, 0.25 + 1 = 1.25; v = 0.25 + 0.5 = 0.75, 0.375 + 2 = 2.375 (tau 0.5 -> v0 = 0.25)
    state = run(
        "fedadam", [0.0], [part(1.0)], [part(2.0)], beta1=0.5, beta2=0.5, tau=0.5, server_rate=1.0
    )
    first = 0.5 / (math.sqrt(0.625) + 0.5)
    second = 1.25 / (math.sqrt(0.3125 + 2) + 0.5)
    assert state.moments[1].tolist() == [2.3125]
    assert state.values[0] == pytest.approx(first + second, rel=1e-12)


def test_fedyogi_two_rounds_by_hand() -> None:
    # v0 = 0.25; v1 = 0.25 + 0.5 * 1 = 0.75; v2 = 0.75 - 0.5 * 0.25 = 0.625 (0.25 is below 0.75)
    state = run(
        "fedyogi", [0.0], [part(1.0)], [part(0.5)], beta1=0.5, beta2=0.5, tau=0.5, server_rate=1.0
    )
    assert state.moments[1].tolist() == [0.625]
    expected = 0.5 / (math.sqrt(0.75) + 0.5) + 0.5 / (math.sqrt(0.625) + 0.5)
    assert state.values[0] == pytest.approx(expected, rel=1e-12)


def test_fedbuff_discounts_the_stale() -> None:
    # (4 + 6 / sqrt(4)) / 2 = 3.5; samples do not weigh
    parts = [part(4.0, samples=1000), part(6.0, staleness=3)]
    assert run("fedbuff", [1.0], parts).values.tolist() == [4.5]


def test_reptile_anneals_to_nothing() -> None:
    # steps of 1, 2/3, 1/3 with alpha 0.5
    parts = [[part(2.0), part(4.0)]] * 3
    for name in ("reptile", "tiny_reptile"):
        state = run(name, [0.0], *parts, server_rate=0.5)
        assert state.values[0] == pytest.approx(0.5 * 3.0 * (1 + 2 / 3 + 1 / 3))


def test_tiny_metafed_divides_by_those_who_sent_an_entry() -> None:
    one = Contribution(np.array([2.0, 0.0, 0.0], np.float32), sent=np.array([True, False, False]))
    two = Contribution(np.array([4.0, 6.0, 0.0], np.float32), sent=np.array([True, True, False]))
    assert run("tiny_metafed", [0.0] * 3, [one, two]).values.tolist() == [3.0, 6.0, 0.0]


def test_median_and_trimmed_mean_drop_the_extremes() -> None:
    parts = [part(value, samples=10**6 if value > 5 else 1) for value in (1.0, 2.0, 6.0, -9.0, 9e9)]
    assert run("median", [1.0], parts).values.tolist() == [3.0]
    assert run("trimmed_mean", [1.0], parts, trim=0.2).values.tolist() == [4.0]


def test_multi_krum_by_hand() -> None:
    # Seven on a line, f = 2, three nearest count: 0, 1, 2, 3 and 5 stay, 50 and -60 go.
    rows = np.array([[0.0], [50.0], [1.0], [2.0], [-60.0], [3.0], [5.0]])
    assert liars(7, 0.3) == 2 and krum_order(rows, 2) == [0, 2, 3, 5, 6]
    parts = [part(float(value)) for value in rows[:, 0]]
    assert run("multi_krum", [0.0], parts, byzantine=0.3).values[0] == pytest.approx(11 / 5)


def test_multi_krum_bears_no_more_liars_than_its_proof() -> None:
    assert [liars(m, 0.49) for m in (1, 2, 3, 4, 5, 7, 20)] == [0, 0, 0, 0, 1, 2, 8]


def test_defences_bound_norm_and_claimed_samples() -> None:
    honest = [part(1.0, samples=10) for _ in range(4)]
    liar = part(1000.0, samples=10**6)
    # norm 1000 -> 2, samples 10^6 -> 40: (4 * 10 * 1 + 40 * 2) / 80
    settings = Settings(clip=2.0, weight_cap=4.0)
    state = step("fedavg", Global(np.zeros(1)), [*honest, liar], settings)
    assert state.values.tolist() == [1.5]


def test_updates_that_point_away_are_left_out_and_named() -> None:
    honest = [part(1.0, 0.2), part(1.0, -0.2), part(0.5, 1.0), part(1.0, 0.0)]
    found = defended([*honest, part(-3.0, 0.0), part(0.0, 0.0)], Settings())
    assert found.compared and found.left_out == found.away == (4, 5) and len(found.parts) == 4
    # Four devices are too few to tell who is right.
    few = defended([*honest[:3], part(-3.0, 0.0)], Settings())
    assert not few.compared and few.left_out == ()


def test_devices_with_a_bad_record_are_compared_but_not_folded() -> None:
    # Two liars carry the mean of all, so that the honest seem to point away.
    parts = [part(0.1, 1.0), part(0.1, -1.0), part(0.1, 0.0), part(-1.0, 0.1), part(-1.0, -0.1)]
    settings = Settings(clip=0, weight_cap=0)
    assert defended(parts, settings).away == (0, 1, 2)
    found = defended(parts, settings, doubted=[3, 4])
    assert found.left_out == found.away == (3, 4)
    # One that points where all do stays doubted by its record alone.
    turned = defended([*parts[:4], part(1.0, 0.0)], settings, doubted=[3, 4])
    assert turned.left_out == (3, 4) and turned.away == (3,)
    # Of half of the devices nobody knows who is right.
    assert defended(parts, settings, doubted=[2, 3, 4]).left_out == (0, 1, 2)


def test_record_is_bad_from_two_rounds_and_more_than_half() -> None:
    record = Record()
    seen = [(record := record.after(away=away)).doubted for away in (1, 1, 0, 0, 1, 0)]
    assert seen == [False, True, True, False, True, False]


def test_fedsgd_is_centralised_gradient_descent() -> None:
    """One full-batch step on each of many clients, weighted by samples, is one on all the data."""
    rng = np.random.default_rng(3)
    x, t = rng.normal(size=(60, 5)), rng.normal(size=60)
    bounds = [0, 7, 30, 31, 60]
    central = state = np.zeros(5)
    for _ in range(20):
        central = central - 0.1 * 2 * x.T @ (x @ central - t) / 60
        parts = []
        for low, high in itertools.pairwise(bounds):
            xs, ts = x[low:high], t[low:high]
            gradient = 2 * xs.T @ (xs @ state - ts) / (high - low)
            parts.append(Contribution(-0.1 * gradient, high - low))
        state = step("fedavg", Global(state), parts, OPEN).values
    np.testing.assert_allclose(state, central, rtol=1e-12)


def test_noise_of_dp_fedavg_has_its_variance_and_its_clipping() -> None:
    settings = Settings(noise=0.5, norm=2.0, seed=7)
    size, devices = 40_000, 8
    parts = [Contribution(np.full(size, 1.0), samples=1 + 99 * (i == 0)) for i in range(devices)]
    state = step("fedavg", Global(np.zeros(size)), parts, settings, noise_round=1, expected=devices)
    sigma = 0.5 * 2.0 / devices
    clean = 2.0 / math.sqrt(size)  # every delta clipped to norm 2, all alike
    assert abs(state.values.mean() - clean) < 4 * sigma / math.sqrt(size)
    assert abs(state.values.std() / sigma - 1) < 3 / math.sqrt(2 * size)
    again = step("fedavg", Global(np.zeros(size)), parts, settings, noise_round=1, expected=devices)
    other = step("fedavg", Global(np.zeros(size)), parts, settings, noise_round=2, expected=devices)
    assert np.array_equal(again.values, state.values)
    assert not np.array_equal(other.values, state.values)


def test_cohorts_are_drawn_anew_and_reproducibly() -> None:
    devices = tuple(f"dev-{i}" for i in range(40))
    settings = Settings(cohort=10, seed=5)
    first, second = (draw_cohort(devices, settings, round_) for round_ in (1, 2))
    assert len(first) == 13 and set(first) <= set(devices) and first != second
    assert first == draw_cohort(devices, settings, 1)
    assert draw_cohort(devices, Settings(), 1) == devices


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_what_combines_is_what_is_accepted(name: str, option: object) -> None:
    assert isinstance(option, type(OPTIONS[0]))
    why = option.refusal(STRATEGIES[name])
    if why:
        with pytest.raises(ConfigError, match=f"{name} does not go with {option.name}: {why}"):
            check(name, option.example, devices=10, min_updates=3)
        return
    check(name, option.example, devices=10, min_updates=3)


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("fedbest", {}, "strategy 'fedbest' is unknown"),
        ("fedavg", {"mu": 0.5}, "'mu' is for fedprox, the strategy is fedavg"),
        ("fedavg", {"feedback": True}, "error feedback needs a codec"),
        ("fedavg", {"noise": 1.0}, "drawn from 'seed', which is 0"),
        ("fedavg", {"cohort": 11, "seed": 1}, "cohort of 11 is more than the 10 devices"),
        ("fedbuff", {"buffer": 11}, "buffer of 11 is never filled by 10 devices"),
        ("multi_krum", {}, "at least 3 updates"),
    ],
)
def test_refusals_say_what_was_found(name: str, changes: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check(name, Settings(**changes), devices=10, min_updates=2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [("trim", 0.5), ("clip", 0.5), ("codec", "zip"), ("share", 0.0), ("tau", float("nan"))],
)
def test_settings_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field if field != "codec" else "codec 'zip' is unknown"):
        Settings(**{field: value})  # type: ignore[arg-type]


def test_settings_survive_the_journal() -> None:
    settings = Settings(codec="top_p", share=0.1, feedback=True, cohort=4, seed=9)
    assert Settings.of(settings.changes()) == settings and Settings().changes() == {}


def test_table_names_every_strategy() -> None:
    assert all(f"| `{name}` |" in table() for name in STRATEGIES)


def test_settings_and_the_section_of_a_project_have_the_same_defaults() -> None:
    assert Settings.of_section(FederatedSection()) == Settings()


def test_the_page_has_the_table_that_is_enforced() -> None:
    page = Path(__file__).parents[2] / "docs" / "federated.md"
    assert table() in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("strategy", "settings", "what"),
    [
        ("fedavg", Settings(codec="int8"), "fedavg with codec int8"),
        ("fedprox", Settings(), "fedprox with codec float32"),
        ("tiny_metafed", Settings(local=2), "tiny_metafed with codec float32"),
        ("fedavg", Settings(secure=True), "secure aggregation"),
    ],
)
def test_older_firmware_is_refused_before_a_run(
    strategy: str, settings: Settings, what: str
) -> None:
    devices = ("a", "b", "c")
    plan = RunPlan(
        run=1,
        base_image="",
        strategy=strategy,
        rounds=1,
        devices=devices,
        epochs=1,
        rate=0.1,
        deadline_s=9.0,
        min_updates=3,
        settings=settings,
    )
    head = HeadWeights(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
    known: dict[str, tuple[str, ...]] = dict.fromkeys(devices, ("codecs", "secure"))
    assert begin(plan, head, claimed=devices, states={}, skills=known).body["run"] == 1
    with pytest.raises(RefusedError, match=f"device 'b' does not know {what}; newer firmware"):
        begin(plan, head, claimed=devices, states={}, skills=known | {"b": ()})


def test_local_part_that_the_head_has_not_is_refused() -> None:
    for settings, classes, features in (
        (Settings(local=50), 5, 9),
        (Settings(local=70_000), 2, 40_000),
    ):
        with pytest.raises(ConfigError, match=f"the biases alone are {classes}"):
            check_head(settings, classes=classes, features=features)
    check_head(Settings(local=49), classes=5, features=9)
