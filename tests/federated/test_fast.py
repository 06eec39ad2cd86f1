"""Simulations in NumPy: gradients, agreement with the device's C, bad files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.cli.main import main
from edgekit.errors import ConfigError
from edgekit.federated.exact import simulate_nets
from edgekit.federated.fast import Rule, Shard, simulate_fast, train
from edgekit.federated.nets import DenseNet
from edgekit.federated.plan import RunPlan
from edgekit.federated.settings import Settings
from edgekit.federated.tables import load_clients

RATE = 0.02


def shards(net: DenseNet, counts: list[int]) -> list[Shard]:
    rng = np.random.default_rng(4)
    made = []
    for count in counts:
        x = rng.normal(size=(count, net.sizes[0])).astype(np.float32)
        y = (
            rng.integers(0, net.sizes[-1], count)
            if net.loss == "softmax"
            else rng.normal(size=(count, net.sizes[-1])).astype(np.float32)
        )
        made.append(Shard(x, y))
    return made


@pytest.mark.parametrize("net", [DenseNet((6, 4)), DenseNet((3, 8, 5, 2), loss="mse")])
def test_gradients_are_those_of_finite_differences(net: DenseNet) -> None:
    rng = np.random.default_rng(0)
    start = net.start(rng)
    shard = shards(net, [7])[0]

    def loss(values: np.ndarray) -> float:
        copy = values.astype(np.float32)[None]
        return float(net.sgd(copy, shard.x[None], shard.y[None], rate=0.0)[0])

    moved = start.copy()[None]
    net.sgd(moved, shard.x[None], shard.y[None], rate=1.0)
    for index in range(net.size):
        nudge = np.zeros(net.size)
        nudge[index] = 1e-2
        slope = (loss(start + nudge) - loss(start - nudge)) / 2e-2
        assert start[index] - moved[0, index] == pytest.approx(slope, abs=2e-3)


def test_clients_at_once_are_clients_one_by_one() -> None:
    net = DenseNet((5, 6, 3), activation="relu")
    start = net.start(np.random.default_rng(1))
    parts = shards(net, [9, 3, 17, 1, 9])
    rule = Rule(rate=RATE, epochs=2, batch=4)
    together, _ = train(net, start, parts, rule)
    for row, part in zip(together, parts, strict=True):
        np.testing.assert_allclose(row, train(net, start, [part], rule)[0][0], atol=1e-6)


SINE = DenseNet((1, 32, 32, 1), loss="mse")


def both_ways(
    net: DenseNet, strategy: str, settings: Settings, rounds: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The parameters at the start, and at the end by mode fast and by mode exact."""
    start = net.start(np.random.default_rng(2))
    parts = shards(net, [20, 11, 30, 8])
    done = simulate_fast(
        net,
        start,
        parts,
        strategy=strategy,
        settings=settings,
        rule=Rule(rate=RATE),
        rounds=rounds,
    )
    names = [f"{index:06d}" for index in range(4)]
    plan = RunPlan(
        run=1,
        base_image="",
        strategy=strategy,
        rounds=rounds,
        devices=tuple(names),
        epochs=1,
        rate=RATE,
        deadline_s=9.0,
        settings=settings,
    )
    state = simulate_nets(plan, net, start, dict(zip(names, parts, strict=True)))
    return start, done.values, np.concatenate([state.head.weights.ravel(), state.head.bias])


@pytest.mark.cc
@pytest.mark.parametrize("net", [DenseNet((12, 5)), SINE], ids=["head", "sine"])
@pytest.mark.parametrize("codec", ["float32", "int8", "top_p"])
def test_fast_is_within_its_tolerance_of_exact(net: DenseNet, codec: str) -> None:
    start, fast, exact = both_ways(
        net, "fedavg", Settings(codec=codec, share=0.25), 1 if codec != "float32" else 5
    )
    moved = np.linalg.norm(exact - start)
    limit = 1e-4 if codec == "float32" else 2e-2  # one entry on the edge may round the other way
    assert np.linalg.norm(fast - exact) <= limit * moved
    assert np.linalg.norm(fast - exact) <= 1e-4 * np.linalg.norm(exact) or codec != "float32"


@pytest.mark.cc
@pytest.mark.parametrize("settings", [Settings(mu=2.0), Settings(codec="top_p", feedback=True)])
def test_fast_is_within_its_tolerance_of_exact_with_what_clients_may_do(
    settings: Settings,
) -> None:
    """FedProx, and what codecs left out, over several rounds."""
    strategy = "fedprox" if settings.codec == "float32" else "fedavg"
    start, fast, exact = both_ways(SINE, strategy, settings, 3)
    limit = 1e-4 if settings.codec == "float32" else 2e-2
    assert np.linalg.norm(fast - exact) <= limit * np.linalg.norm(exact - start)
    _, free, _ = both_ways(SINE, strategy, Settings(), 3)
    assert np.linalg.norm(free - exact) > 10 * limit * np.linalg.norm(exact - start)


@pytest.mark.cc
def test_local_part_of_both_modes_is_the_same() -> None:
    """TinyMetaFed: the last layer is fitted first, and stays as the server began with it."""
    start, fast, exact = both_ways(SINE, "tiny_metafed", Settings(local=33), 3)
    assert np.linalg.norm(fast - exact) <= 1e-4 * np.linalg.norm(exact - start)
    assert np.array_equal(exact[-33:], start[-33:]) and not np.array_equal(exact, start)


def test_proximal_term_holds_clients_back() -> None:
    net = DenseNet((5, 3))
    start = net.start(np.random.default_rng(1))
    parts = shards(net, [30])
    rule = Rule(rate=0.1, epochs=5)
    free, held = (np.linalg.norm(train(net, start, parts, rule, mu=mu)[0]) for mu in (0.0, 5.0))
    assert held < 0.7 * free


def test_local_part_never_leaves_and_must_be_whole_layers() -> None:
    net = DenseNet((1, 8, 1), loss="mse")
    start = net.start(np.random.default_rng(1))
    deltas, _ = train(net, start, shards(net, [12]), Rule(rate=RATE), local=9)
    assert not deltas[:, -9:].any() and deltas[:, :-9].any()
    with pytest.raises(ConfigError, match="local part of 8 parameters is not whole layers"):
        train(net, start, shards(net, [12]), Rule(rate=RATE), local=8)


def test_lying_clients_of_a_simulation_are_named() -> None:
    net = DenseNet((4, 3))
    parts = shards(net, [10, 10, 10, 10])
    parts[2] = Shard(np.full_like(parts[2].x, 1e30), parts[2].y)
    with np.errstate(all="ignore"):
        done = simulate_fast(
            net,
            net.start(np.random.default_rng(0)),
            parts,
            strategy="median",
            settings=Settings(),
            rule=Rule(rate=RATE),
            rounds=1,
        )
    assert done.table[0].accepted == 3 and done.table[0].rejected[0][0] == "000002"


def file_of(path: Path, **changes: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 5))
    y, y_test = rng.integers(0, 3, 120), rng.integers(0, 3, 60)
    arrays = {
        "x": centres[y] + 0.3 * rng.normal(size=(120, 5)),
        "y": y,
        "client": np.repeat(np.arange(6), 20),
        "x_test": centres[y_test] + 0.3 * rng.normal(size=(60, 5)),
        "y_test": y_test,
    }
    np.savez(path, **(arrays | changes))
    return path


@pytest.mark.cc
@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_command_simulates_both_ways(
    mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path / "clients.npz")
    out = tmp_path / "net.npz"
    told = ["--mode", mode, "--rounds", "8", "--rate", "0.1", "--project", str(tmp_path)]
    assert main(["federate", "simulate", str(path), *told, "--json", "--out", str(out)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["clients"] == 6 and len(facts["table"]) == 8 and facts["accuracy"] > 0.8
    assert np.load(out)["parameters"].shape == (facts["parameters"],)


@pytest.mark.cc
def test_command_simulates_secure_aggregation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path / "clients.npz")
    told = ["--rounds", "4", "--rate", "0.1", "--project", str(tmp_path), "--secure", "--json"]
    assert main(["federate", "simulate", str(path), "--mode", "exact", *told]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["accepted"] for row in facts["table"]] == [6] * 4 and facts["accuracy"] > 0.7
    assert main(["federate", "simulate", str(path), *told]) == 1
    assert "simulate secure aggregation with mode exact" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"y": np.zeros(120)}, "labels 'y' are float64"),
        ({"client": np.zeros(3, np.int64)}, "'client' is int64 (3,)"),
        ({"x": np.full((120, 5), np.nan)}, "not finite"),
        ({"x_test": np.zeros((60, 4))}, "test samples have 4 inputs, not 5"),
        ({"y": np.zeros((7, 1))}, "'y' is (7, 1)"),
    ],
)
def test_bad_files_are_refused(changes: dict[str, np.ndarray], text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_clients(file_of(tmp_path / "clients.npz", **changes))
    assert text in str(caught.value)


def test_what_is_no_file_of_arrays_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04nothing")
    for path in (tmp_path / "a.npz", tmp_path / "missing.npz"):
        with pytest.raises(ConfigError, match="is no npz file"):
            load_clients(path)


def test_buffered_runs_have_no_rounds_to_simulate_fast() -> None:
    net = DenseNet((2, 2))
    with pytest.raises(ConfigError, match="simulate it with mode exact"):
        simulate_fast(
            net,
            net.start(np.random.default_rng(0)),
            shards(net, [5, 5, 5, 5]),
            strategy="fedbuff",
            settings=Settings(),
            rule=Rule(rate=RATE),
            rounds=1,
        )
