"""`edgekit federate simulate`: a run on this machine, before any device is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.federated.nets import DenseNet, Float32Array
    from edgekit.federated.tables import ClientTable


def simulate(
    data: Path = typer.Argument(
        ..., help="npz file: x [N, in], y [N] or [N, out], client [N]; also x_test, y_test."
    ),
    mode: str = typer.Option(
        "fast", "--mode", help="exact: the device's C, its bytes; fast: NumPy, all clients at once."
    ),
    hidden: str = typer.Option(
        "", "--hidden", help="Neurons of hidden layers, as 32,32; none: a softmax head."
    ),
    activation: str = typer.Option("tanh", "--activation", help="Of hidden layers: tanh or relu."),
    strategy: str | None = typer.Option(None, "--strategy", help="See docs/federated.md."),
    codec: str | None = typer.Option(None, "--codec", help="How updates travel."),
    rounds: int | None = typer.Option(None, "--rounds", min=1),
    epochs: int | None = typer.Option(None, "--epochs", min=1, help="Of each client per round."),
    rate: float | None = typer.Option(None, "--rate", min=0, help="Learning rate of the clients."),
    secure: bool | None = typer.Option(
        None, "--secure/--plain", help="Secure aggregation, in mode exact: masked updates."
    ),
    seed: int = typer.Option(1, "--seed", min=0, help="Of the first parameters."),
    out: Path | None = typer.Option(None, "--out", help="Write the parameters here, as npz."),
    project: Path = typer.Option(Path("."), "--project", help="Folder of the project."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Simulate federated rounds with the samples of a file, split by its clients.

    What is not given comes from [federated] and [learn] of the project's edgekit.toml.

    Example: edgekit federate simulate clients.npz --hidden 32 --strategy fedyogi --rounds 20
    """
    import numpy as np

    from edgekit.cli.federate_plan import project_config
    from edgekit.errors import ConfigError
    from edgekit.federated.nets import DenseNet
    from edgekit.federated.tables import load_clients

    if mode not in ("fast", "exact"):
        raise ConfigError(f"mode '{mode}' is unknown, known are fast, exact")
    table = load_clients(data)
    sizes = (table.features, *_layers(hidden), table.outputs)
    net = DenseNet(sizes, activation, "softmax" if table.classes else "mse")
    start = net.start(np.random.default_rng(seed))
    told = {"strategy": strategy, "rounds": rounds, "epochs": epochs, "rate": rate, "codec": codec}
    told["secure"] = secure
    run = _fast if mode == "fast" else _exact
    values, rows = run(project_config(project), told, table, net, start, as_json)
    facts = {
        "mode": mode,
        "clients": len(table.shards),
        "parameters": net.size,
        "uplink_bytes": sum(row.get("uplink_bytes", 0) for row in rows),
        "accuracy": rows[-1]["accuracy"] if rows else None,
        "table": rows,
    }
    if out is not None:
        from edgekit.data.files import write_atomic

        write_atomic(out, _npz(values, sizes))
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for row in rows if not sys.stderr.isatty() else rows[-1:]:
        print(_line(row))


def _layers(text: str) -> tuple[int, ...]:
    from edgekit.errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as exc:
        raise ConfigError(f"--hidden '{text}', expected numbers of neurons as 32,32") from exc


def _chosen(config: Config, told: dict[str, Any]) -> tuple[Any, Any, float]:
    """Return section, settings and rate, with what was given."""
    from dataclasses import replace

    from edgekit.errors import ConfigError
    from edgekit.federated.settings import Settings

    names = ("strategy", "rounds", "epochs", "codec", "secure")
    given = {name: told[name] for name in names if told[name] is not None}
    section = replace(config.federated, **given)
    try:
        settings = Settings.of_section(section)
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc
    if (settings.cohort or settings.noise) and not settings.seed:
        settings = replace(settings, seed=1)  # a simulation is repeatable
    return section, settings, config.learn.rate if told["rate"] is None else told["rate"]


def _fast(
    config: Config,
    told: dict[str, Any],
    table: ClientTable,
    net: DenseNet,
    start: Float32Array,
    quiet: bool,
) -> tuple[Float32Array, list[dict[str, Any]]]:
    from edgekit.federated.fast import FastRow, Rule, simulate_fast

    section, settings, rate = _chosen(config, told)
    names = list(table.shards)

    def row_of(row: FastRow) -> dict[str, Any]:
        rejected = [
            {"device": names[int(device)] if device else "", "reason": reason}
            for device, reason in row.rejected
        ]
        return {
            "round": row.round,
            "accepted": row.accepted,
            "rejected": rejected,
            "loss": row.loss,
            "uplink_bytes": row.uplink_bytes,
            "accuracy": row.accuracy,
        }

    done = simulate_fast(
        net,
        start,
        list(table.shards.values()),
        strategy=section.strategy,
        settings=settings,
        rule=Rule(rate=rate, epochs=section.epochs),
        rounds=section.rounds,
        evaluate=_evaluation(table, net),
        told=lambda row: _progress(row_of(row), quiet),
    )
    return done.values, [row_of(row) for row in done.table]


def _exact(
    config: Config,
    told: dict[str, Any],
    table: ClientTable,
    net: DenseNet,
    start: Float32Array,
    quiet: bool,
) -> tuple[Float32Array, list[dict[str, Any]]]:
    from edgekit.errors import ConfigError
    from edgekit.federated.aggregate import flat
    from edgekit.federated.codecs import update_bytes
    from edgekit.federated.exact import simulate_nets
    from edgekit.federated.plan import RunPlan
    from edgekit.federated.secure_objects import round_bytes
    from edgekit.federated.secure_state import values_of
    from edgekit.federated.state import RoundRow

    section, settings, rate = _chosen(config, told)
    try:
        plan = RunPlan(
            run=1,
            base_image="",
            strategy=section.strategy,
            rounds=section.rounds,
            devices=tuple(table.shards),
            epochs=section.epochs,
            rate=rate,
            deadline_s=section.deadline_s,
            min_updates=min(section.min_devices, len(table.shards)),
            settings=settings,
        )
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc
    size = update_bytes(1, net.size - 1, settings.codec, settings.share)
    if settings.secure:
        neighbours = min(settings.neighbours, plan.most_invited - 1)
        size, _ = round_bytes(neighbours, values_of(net.size))

    def row_of(row: RoundRow) -> dict[str, Any]:
        return {
            "round": row.round,
            "accepted": row.accepted,
            "rejected": [{"device": d, "reason": reason} for d, reason in row.rejected],
            "failed": row.failed,
            "loss": row.loss_first,
            "uplink_bytes": size * (row.accepted + len(row.rejected)),
            "accuracy": row.accuracy,
        }

    state = simulate_nets(
        plan,
        net,
        start,
        table.shards,
        evaluate=_evaluation(table, net),
        told=lambda state: _progress(row_of(state.table[-1]), quiet),
    )
    return flat(state.head), [row_of(row) for row in state.table]


def _evaluation(table: ClientTable, net: DenseNet) -> Any:
    from edgekit.federated.tables import accuracy

    test = table.test
    if test is None:
        return None
    return lambda values: accuracy(net.outputs(values[None], test.x[None])[0], test.y)


def _progress(row: dict[str, Any], quiet: bool) -> None:
    if not quiet and sys.stderr.isatty():
        print(_line(row), file=sys.stderr)


def _line(row: dict[str, Any]) -> str:
    text = f"round {row['round']}: {row['accepted']} updates, {len(row['rejected'])} rejected"
    if row["loss"] is not None:
        text += f", loss {row['loss']:.4f}"
    if row["accuracy"] is not None:
        text += f", accuracy {row['accuracy']:.1%}"
    reasons = [f"{each['device']}: {each['reason']}" for each in row["rejected"]]
    reasons += [row["failed"]] if row.get("failed") else []
    return "\n  ".join([f"{text}, {row['uplink_bytes']:,} bytes up", *reasons])


def _npz(values: Float32Array, sizes: tuple[int, ...]) -> bytes:
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, parameters=values, sizes=np.array(sizes))
    return buffer.getvalue()
