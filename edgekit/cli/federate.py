"""`edgekit federate`: let the devices of a fleet train the head of their model together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgekit.cli.federate_simulate import simulate

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.federated.rounds import RoundRow, RunPlan, RunState
    from edgekit.journal import Journal

federate_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Learn together without moving samples."
)

federate_app.command("simulate")(simulate)

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@federate_app.command("run")
def run(
    image: str = typer.Argument(..., help="Image id, or its beginning, of a published release."),
    devices: list[str] = typer.Option(
        [], "--device", help="Only this device; may be repeated. Default: all that run the image."
    ),
    strategy: str | None = typer.Option(None, "--strategy", help="See docs/federated.md."),
    rounds: int | None = typer.Option(None, "--rounds", min=1),
    epochs: int | None = typer.Option(None, "--epochs", min=1, help="Of each device per round."),
    rate: float | None = typer.Option(None, "--rate", min=0, help="Learning rate on the devices."),
    decay: float = typer.Option(0.0, "--decay", min=0, help="L2 decay on the devices."),
    codec: str | None = typer.Option(None, "--codec", help="How updates travel."),
    share: float | None = typer.Option(None, "--share", help="Of the entries, for top-P codecs."),
    feedback: bool | None = typer.Option(
        None, "--feedback/--no-feedback", help="Add what a codec left out the next time."
    ),
    deadline_s: float | None = typer.Option(None, "--deadline-s", help="When a round closes."),
    min_updates: int | None = typer.Option(
        None, "--min-updates", min=1, help="Fewer change nothing."
    ),
    max_samples: int = typer.Option(
        1_000_000, "--max-samples", min=1, help="More than a device may claim, as it is its weight."
    ),
    secure: bool | None = typer.Option(
        None, "--secure/--plain", help="Let the server see only the sum of a round's updates."
    ),
    out: Path | None = typer.Option(None, "--out", help="Write the final head object here."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Run federated rounds on the devices of a running fleet, and wait for the end.

    What is not given comes from [federated] and [learn] of the project's edgekit.toml. The run
    goes on when this command is interrupted; 'edgekit federate abort' ends it.

    Example: edgekit federate run 3f9a --rounds 5 --epochs 2 --out head.bin
    """
    from edgekit.errors import ConfigError
    from edgekit.federated.combine import check_fleet
    from edgekit.federated.orders import begin, head_of_image, run_states
    from edgekit.fleet.broker import running_broker
    from edgekit.fleet.orders import open_journal

    root = project / ".edgekit"
    if running_broker(root) is None:
        raise ConfigError("fleet is not running; 'edgekit fleet up' starts it")
    with open_journal(root) as journal:
        image_id, blob = _release(journal, image)
        claimed, running = _devices(root, image_id)
        states = run_states(journal)
        plan = _plan(
            project_config(project),
            run=max(states, default=0) + 1,
            base_image=image_id,
            devices=tuple(devices or running),
            strategy=strategy,
            rounds=rounds,
            epochs=epochs,
            rate=rate,
            decay=decay,
            deadline_s=deadline_s,
            min_updates=min_updates,
            max_samples=max_samples,
            chosen={"codec": codec, "share": share, "feedback": feedback, "secure": secure},
        )
        check_fleet(plan.settings)
        head = head_of_image(journal.blob(blob))
        fact = begin(plan, head, claimed=claimed, states=states)
        journal.append(fact.kind, str(plan.run), fact.body, actor="cli", blob=fact.blob)
        state = _follow(journal, plan.run, quiet=as_json)
    if out is not None:
        out.write_bytes(state.head.encode())
    _show(state, as_json=as_json)


def project_config(project: Path) -> Config:
    """Return the project's file, or what it says when there is none."""
    from edgekit.config import FILE_NAME, Config, load_config

    return load_config(project) if (project / FILE_NAME).is_file() else Config(root=project)


def _plan(config: Config, *, chosen: dict[str, Any], **given: Any) -> RunPlan:
    """Make a plan of what was given and of the project's file; chosen: settings, None: as there."""
    import secrets
    from dataclasses import replace

    from edgekit.errors import RefusedError
    from edgekit.federated.rounds import RunPlan
    from edgekit.federated.settings import Settings

    wanted = {name: value for name, value in chosen.items() if value is not None}
    section = replace(config.federated, **wanted)
    known = {
        "strategy": section.strategy,
        "rounds": section.rounds,
        "epochs": section.epochs,
        "rate": config.learn.rate,
        "deadline_s": section.deadline_s,
        "min_updates": min(section.min_devices, len(given["devices"])),
    }
    try:
        settings = Settings.of_section(section)
        if (settings.cohort or settings.noise) and not settings.seed:
            settings = replace(settings, seed=secrets.randbits(62) + 1)
        told = {name: value for name, value in given.items() if value is not None}
        return RunPlan(**{**known, **told}, settings=settings)
    except ValueError as exc:
        raise RefusedError(str(exc)) from exc


@federate_app.command("status")
def status(
    run: int = typer.Argument(0, help="Number of the run; default the newest."),
    watching: bool = typer.Option(False, "--watch", help="Until it ends, with every change."),
    page: Path | None = typer.Option(None, "--report", help="Write it as an HTML page here."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Show how far a run is, round by round.

    With --watch also who answered, why others did not count, and the bytes; --json then prints a
    line per change.

    Example: edgekit federate status --watch
    """
    from edgekit.cli.federate_watch import report, watch
    from edgekit.fleet.orders import open_journal

    with open_journal(project / ".edgekit") as journal:
        if watching:
            watch(journal, run, as_json=as_json)
        if page is not None:
            report(journal, run, page)
    if page is not None and not as_json:
        print(f"written to {page}")
    if page is None and not watching:
        _show(_find(project, run), as_json=as_json)


@federate_app.command("abort")
def abort(
    run: int = typer.Argument(..., help="Number of the run."),
    reason: str = typer.Option("by hand", "--reason", help="Why; kept in the journal."),
    project: Path = _PROJECT,
) -> None:
    """End a run; what it has learned so far stays.

    Example: edgekit federate abort 3 --reason enough
    """
    from edgekit.federated import orders
    from edgekit.fleet.orders import open_journal

    fact = orders.abort(_find(project, run), reason)
    with open_journal(project / ".edgekit") as journal:
        journal.append(fact.kind, str(run), fact.body, actor="cli", blob=fact.blob)
    print(f"run {run} is finished: {fact.body['reason']}")


def _find(project: Path, run: int) -> RunState:
    from edgekit.errors import RefusedError
    from edgekit.federated.orders import run_states, unknown_run
    from edgekit.fleet.orders import open_journal

    with open_journal(project / ".edgekit") as journal:
        states = run_states(journal)
    if not run and not states:
        raise RefusedError("there is no run yet; 'edgekit federate run' makes one")
    number = run or list(states)[-1]
    if number not in states:
        raise unknown_run(number, states)
    return states[number]


def _release(journal: Journal, image: str) -> tuple[str, str]:
    """Return id and blob of a released image, whatever its device class."""
    from edgekit.errors import RefusedError
    from edgekit.fleet.releases import releases

    found = {r.image_id: r.blob for r in releases(journal) if r.image_id.startswith(image)}
    if len(found) != 1:
        raise RefusedError(f"image id {image} fits {len(found)} released images, expected one")
    return next(iter(found.items()))


def _devices(root: Path, image_id: str) -> tuple[set[str], list[str]]:
    """Return all claimed devices, and in order those that run an image."""
    from edgekit.fleet.store import FleetStore
    from edgekit.link.messages import Reported

    claimed, running = set(), []
    with FleetStore.open(root) as store:
        for record in store.devices():
            if record.claim is None or record.revoked:
                continue
            claimed.add(record.device)
            said = None if record.reported is None else Reported.decode(record.reported)
            if said is not None and said.active_image == bytes.fromhex(image_id):
                running.append(record.device)
    return claimed, running


def _follow(journal: Journal, run: int, *, quiet: bool) -> RunState:
    import time

    from edgekit.federated.orders import run_states
    from edgekit.federated.rounds import Phase

    told = 0
    while True:
        state = run_states(journal)[run]
        if not quiet:
            for row in state.table[told:]:
                print(_line(row), flush=True)
        told = len(state.table)
        if state.phase is Phase.FINISHED:
            return state
        time.sleep(0.5)


def _privacy(state: RunState) -> str:
    from edgekit.errors import ToolError
    from edgekit.federated.privacy import epsilon, participations

    settings = state.plan.settings
    times = participations(state.plan, state.round)
    try:
        found = f"epsilon {epsilon(settings, times):.2f}"
    except ToolError as exc:
        found = str(exc)
    return f"privacy: {found} at delta {settings.privacy_delta:g}, a device was asked {times} times"


def _line(row: RoundRow) -> str:
    loss = "" if row.loss_last is None else f", loss {row.loss_first:.4f} -> {row.loss_last:.4f}"
    measured = "" if row.accuracy is None else f", accuracy {row.accuracy:.1%}"
    text = (
        f"round {row.round}: {row.accepted} updates, {len(row.rejected)} rejected,"
        f" {len(row.silent)} silent in {row.seconds:.1f} s{loss}{measured}"
    )
    if row.left_out:
        text += f", not folded: {', '.join(row.left_out)}"
    if row.failed:
        text += f": {row.failed}"
    return "\n  ".join([text, *(f"{device}: {reason}" for device, reason in row.rejected)])


def _show(state: RunState, *, as_json: bool) -> None:
    from edgekit.federated.orders import run_body

    if as_json:
        print(json.dumps(run_body(state), indent=2))
        return
    plan = state.plan
    reason = f": {state.reason}" if state.reason else ""
    print(
        f"run {plan.run} of {len(plan.devices)} devices, {plan.strategy}, round {state.round} of"
        f" {plan.rounds}, is {state.phase.value}{reason}"
    )
    for row in state.table:
        print(_line(row))
    if state.collecting and state.missing:
        print(f"no answer yet from {', '.join(state.missing)}")
    if plan.settings.noise:
        print(_privacy(state))
    print(f"head {state.head.hash.hex()}")
