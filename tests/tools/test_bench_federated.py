"""The bench of learning together: a short run of meta-learning, attacks, figures, tables."""

from __future__ import annotations

import os

import numpy as np
import pytest

from edgekit.federated.nets import DenseNet
from edgekit.federated.settings import Settings
from tools.bench import federated, federated_page
from tools.bench import federated_attacks as attacks
from tools.bench import federated_conv as conv
from tools.bench import federated_mnist as mnist
from tools.bench import federated_personal as personal
from tools.bench import federated_secure as secure
from tools.bench import federated_sine as sine
from tools.bench.__main__ import main

FULL = os.environ.get("EDGEKIT_FULL") == "1"


@pytest.mark.cc
def test_a_short_meta_training_adapts_in_a_few_steps() -> None:
    """3,000 of the 10,000 rounds of the bench; untrained nets stay above 3 at 32 steps."""
    for each in sine.measure_case("TinyReptile", sine.SEEDS if FULL else (1, 2), rounds=3_000):
        assert each["mse"]["8"] <= 0.20 and each["mse"]["32"] <= 0.15


@pytest.mark.cc
@pytest.mark.parametrize("name", list(sine.WITHIN))
def test_what_sends_less_learns_too(name: str) -> None:
    (found,) = sine.measure_case(name, (2,), rounds=1_000)
    assert found["mse"]["32"] <= 0.8


def test_uplink_of_what_is_compressed_is_as_small_as_promised() -> None:
    full = sine.uplink(Settings())
    assert all(full / sine.uplink(sine.CASES[name].settings) >= 3.5 for name in sine.WITHIN)


def test_gradient_of_the_convolutions_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    values = conv.start(rng)
    x, y = rng.normal(size=(4, 28, 28, 1)).astype(np.float32), rng.integers(0, 10, 4)
    _, slope = conv.gradient(values, x, y)
    for index in (208, 1000, 3419, 3424, 3500, 5983, 5993):  # behind the first rectifier
        nudge = np.zeros(conv.SIZE, np.float32)
        nudge[index] = 2e-3
        up, down = (conv.gradient(values + sign * nudge, x, y)[0] for sign in (1, -1))
        assert slope[index] == pytest.approx((up - down) / 4e-3, abs=5e-3)


def test_split_gives_every_sample_to_one_client() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 2_000)
    shares = mnist.dirichlet(labels, 10, 0.5, 1)
    assert sorted(np.concatenate(shares)) == list(range(2_000)) and min(map(len, shares)) >= 32


def test_nets_of_the_sets_have_the_classes_of_their_tasks() -> None:
    for chosen in personal.SETS.values():
        assert DenseNet(chosen.sizes).sizes[-1] == chosen.ways


def runs() -> list[dict[str, object]]:
    """Make results as the bench keeps them."""
    made: list[dict[str, object]] = [
        {
            "set": "sine",
            "case": name,
            "seed": seed,
            "uplink_bytes": sine.uplink(case.settings),
            "mse": {"0": 4.0, "1": 2.0, "8": 0.05 if seed > 1 else 0.5, "32": 0.03},
        }
        for name, case in sine.CASES.items()
        for seed in sine.SEEDS
    ]
    made += [
        {"set": "mnist", "strategy": name, "accuracy": 98.0, "steps": 50, "seconds": seconds}
        | {"rejected": 0, "seed": 1}
        for name, seconds in (("fedavg", 500.0), ("fedprox", 500.0), ("fedbuff", 300.0))
    ]
    made += [
        {"set": "har", "seed": seed, "random": 80.0, "alone": 85.0, "federated": 86.0 + seed}
        for seed in personal.SEEDS
    ]
    made += [
        {"set": "attacks", "attack": name, "accuracy": 90.0 if name != "scaled" else 87.0}
        | {"rejected": 0, "silent": 0, "reason": "", "honest_rejected": 0}
        for name in ("", *attacks.ATTACKS)
    ]
    made.append({"set": "fold", "bytes": 10**9, "seconds": 0.5, "cpu_seconds": 0.5})
    made.append(
        {
            "set": "secure",
            "cohort": 10,
            "silent": 1,
            "accepted": 9,
            "up_bytes": 3_968.0,
            "down_bytes": 1_544.0,
            "plain_bytes": 2_672,
            "device_ms": 4.6,
            "server_s": 0.02,
        }
    )
    made.append(
        {
            "set": "server",
            "devices": 1_000,
            "model_bytes": 100_012,
            "accepted": 1_000,
            "same_bytes": True,
            "server_rss_mb": 266,
            "seconds": 171.8,
            "server_cpu_s": 38.6,
            "messages_per_s": 964,
        }
    )
    return made


def test_a_figure_is_ok_from_its_target_on() -> None:
    rows = {each.figure: each for each in federated.rows_of(runs())}
    seeds = rows["sine, TinyReptile: seeds with 8-step MSE <= 0.1"]
    assert seeds.value == 5 and seeds.ok
    slow = next(each for name, each in rows.items() if "FedBuff" in name)
    assert slow.value == pytest.approx(0.6) and not slow.ok
    assert not rows["attack 'scaled' by 4 of 20: points lost"].ok
    assert rows["attack 'NaN' by 4 of 20: points lost"].ok
    gained = rows["har, held-out subjects: points over the start, mean of 5 seeds"]
    assert gained.value == pytest.approx(9.0) and gained.ok
    assert rows["folding 1,000 stored updates of 1 MB, per second of CPU"].value == pytest.approx(
        2.0
    )


def test_every_set_has_a_table() -> None:
    found = federated.tables(runs())
    assert set(found) == set(federated.TABLES) - {
        "device",
        "secure_board",
    }  # which have tests of their own
    assert "| TinyMetaFed" in found["sine"] and "| sign flip" in found["attacks"]


def test_what_is_no_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["federated", "--only", "cifar"]) == 1
    assert "'cifar' is no set; there are sine, mnist" in capsys.readouterr().err


def test_page_is_made_from_what_is_kept() -> None:
    assert federated_page.PAGE.read_text(encoding="utf-8") == federated_page.page()


def test_a_round_of_secure_aggregation_is_measured_whole() -> None:
    found = secure._round(10)
    assert (found["accepted"], found["silent"], found["cohort"]) == (9, 1, 10)
    assert found["up_bytes"] > found["plain_bytes"] > found["down_bytes"] > 0
    assert secure.lines_of([found])[0][:2] == ["10", "1"] and not secure.board_lines_of([found])


@pytest.mark.emulator
def test_a_member_on_a_board_is_counted_part_by_part() -> None:
    found = secure._board()
    assert set(found["parts"]) == set(secure.PARTS)
    assert len(secure.board_lines_of([found])) == len(secure.PARTS) + 1
    # A mask is one key agreement and one stream.
    assert found["parts"]["mask"] < found["parts"]["keys"]
