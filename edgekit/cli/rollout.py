"""`edgekit rollout`: bring a release to the devices of a fleet in waves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edgekit.fleet.rollouts import Fact, Limits, RolloutState
    from edgekit.journal import Journal

rollout_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Bring a release to the fleet in waves."
)

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")
_IMAGE = typer.Argument("", help="Image id or its beginning; default the newest release.")
_BOARD = typer.Option(..., "--board", help="Device class.")
_DEVICES = typer.Option([], "--device", help="Only this device; may be repeated.")
_WAVES = typer.Option(
    [], "--wave", help="Reach so many devices (3) or such a part (10%); may be repeated."
)
_DEADLINE = typer.Option(600.0, "--deadline-s", help="Silence that counts as a failure.")
_SOAK = typer.Option(600.0, "--soak-s", help="Pause between waves.")
_SUCCESS = typer.Option(0.95, "--min-success", min=0, max=1, help="Part of a wave that must do.")
_FAILURES = typer.Option(None, "--max-failures", help="Failures tolerated in all; default any.")


@rollout_app.command("plan")
def plan(
    image: str = _IMAGE,
    board: str = _BOARD,
    devices: list[str] = _DEVICES,
    waves: list[str] = _WAVES,
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Show which devices each wave would reach; starts nothing.

    Example: edgekit rollout plan --board mps2_an386 --wave 1 --wave 10%
    """
    from edgekit.fleet.orders import open_journal
    from edgekit.fleet.rollouts import STARTED, Limits, apply

    root = project / ".edgekit"
    with open_journal(root) as journal:
        name, fact = _begin(root, journal, image, board, devices, waves, Limits())
    if fact is None:
        print(f"rollout {name} is under way with these devices")
        return
    planned = apply(None, STARTED, fact.body, time_s=0.0).plan
    reach = [list(planned.wave_devices(wave)) for wave in range(len(planned.waves))]
    if as_json:
        print(json.dumps({"image_id": planned.image_id, "waves": reach}, indent=2))
        return
    print(f"image {planned.image_id[:16]}, counter {planned.counter}, {board}")
    for number, names in enumerate(reach, 1):
        print(f"wave {number}: {len(names)} more: {', '.join(names)}")


@rollout_app.command("start")
def start(
    image: str = _IMAGE,
    board: str = _BOARD,
    devices: list[str] = _DEVICES,
    waves: list[str] = _WAVES,
    deadline_s: float = _DEADLINE,
    soak_s: float = _SOAK,
    min_success: float = _SUCCESS,
    max_failures: int | None = _FAILURES,
    wait_s: float = typer.Option(0.0, "--wait-s", help="Wait for the end; exit 1 if it halts."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Start a rollout; a running 'edgekit fleet up' takes it up at once, else the next one does.

    Example: edgekit rollout start --board mps2_an386 --wave 1 --wave 50% --wait-s 300
    """
    from edgekit.errors import ConfigError
    from edgekit.fleet.broker import running_broker
    from edgekit.fleet.orders import open_journal
    from edgekit.fleet.rollouts import Limits

    root = project / ".edgekit"
    try:
        limits = Limits(
            deadline_s=deadline_s,
            soak_s=soak_s,
            min_success=min_success,
            max_failures=max_failures,
        )
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    with open_journal(root) as journal:
        is_up = running_broker(root) is not None
        if wait_s > 0 and not is_up:
            raise ConfigError("fleet is not running, so there is nothing to wait for; fleet up")
        name, fact = _begin(root, journal, image, board, devices, waves, limits)
        if fact is not None:
            journal.append(fact.kind, name, fact.body, actor="cli")
        if not as_json:
            later = "" if is_up else "; 'edgekit fleet up' will take it up"
            print(f"rollout {name} {'is under way' if fact is None else 'started'}{later}")
        state = _await(journal, name, wait_s)
    if as_json or wait_s > 0:
        _show(state, as_json=as_json)
    _fail_if_halted(state)


@rollout_app.command("status")
def status(
    rollout: str = typer.Argument("", help="Id of the rollout; default the newest."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Show how far a rollout is, device by device.

    Example: edgekit rollout status
    """
    from edgekit.errors import RefusedError
    from edgekit.fleet.orders import find_rollout, load_rollouts, open_journal

    with open_journal(project / ".edgekit") as journal:
        lives = load_rollouts(journal)
    if not rollout and not lives:
        raise RefusedError("there is no rollout yet; 'edgekit rollout start' makes one")
    _show(find_rollout(lives, rollout or list(lives)[-1]).state, as_json=as_json)


@rollout_app.command("pause")
def pause(
    rollout: str = typer.Argument(..., help="Id of the rollout."),
    reason: str = typer.Option("by hand", "--reason", help="Why; kept in the journal."),
    project: Path = _PROJECT,
) -> None:
    """Let no further wave begin, and no deadline pass.

    Example: edgekit rollout pause mps2_an386-2 --reason night
    """
    from edgekit.fleet import rollouts

    _order(project, rollout, rollouts.pause, reason)


@rollout_app.command("resume")
def resume(
    rollout: str = typer.Argument(..., help="Id of the rollout."),
    reason: str = typer.Option("by hand", "--reason", help="Why; kept in the journal."),
    project: Path = _PROJECT,
) -> None:
    """Go on after a pause.

    Example: edgekit rollout resume mps2_an386-2
    """
    from edgekit.fleet import rollouts

    _order(project, rollout, rollouts.resume, reason)


@rollout_app.command("abort")
def abort(
    rollout: str = typer.Argument(..., help="Id of the rollout."),
    reason: str = typer.Option("by hand", "--reason", help="Why; kept in the journal."),
    project: Path = _PROJECT,
) -> None:
    """Halt for good; devices that do not run the release yet get back what they had.

    Example: edgekit rollout abort mps2_an386-2 --reason "wrong labels"
    """
    from edgekit.fleet import rollouts

    _order(project, rollout, rollouts.abort, reason)


def _begin(
    root: Path,
    journal: Journal,
    image: str,
    board: str,
    devices: list[str],
    waves: list[str],
    limits: Limits,
) -> tuple[str, Fact | None]:
    from edgekit.errors import RefusedError
    from edgekit.fleet.orders import begin, load_rollouts, members_of
    from edgekit.fleet.releases import find_release, newest_release
    from edgekit.fleet.rollouts import DEFAULT_WAVES
    from edgekit.fleet.store import FleetStore

    release = find_release(journal, image, board) if image else newest_release(journal, board)
    if release is None:
        raise RefusedError(f"there is no release for '{board}'; 'edgekit update publish' makes one")
    with FleetStore.open(root) as store:
        members = members_of(store)
    return begin(
        release,
        devices or None,
        members=members,
        lives=load_rollouts(journal),
        waves=[_wave(text) for text in waves] or DEFAULT_WAVES,
        limits=limits,
    )


def _wave(text: str) -> int | float:
    """Read 3 as a number of devices, 10% and 0.1 as a part of them."""
    try:
        if text.isdecimal():
            wave: int | float = int(text)
        else:
            wave = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        wave = 0
    if not wave > 0 or (isinstance(wave, float) and wave > 1):
        raise typer.BadParameter(f"wave {text!r} is neither a number of devices nor a part", None)
    return wave


def _order(
    project: Path, rollout: str, make: Callable[[RolloutState, str], Fact], reason: str
) -> None:
    from edgekit.fleet.orders import find_rollout, load_rollouts, open_journal, order

    with open_journal(project / ".edgekit") as journal:
        fact = order(find_rollout(load_rollouts(journal), rollout).state, make, reason)
        journal.append(fact.kind, rollout, fact.body, actor="cli")
        state = load_rollouts(journal)[rollout].state
    print(f"rollout {rollout} is {state.phase.value}: {state.reason or reason}")


def _await(journal: Journal, rollout: str, wait_s: float) -> RolloutState:
    import time

    from edgekit.errors import DeviceError
    from edgekit.fleet.orders import load_rollouts

    give_up_s = time.monotonic() + wait_s
    while True:
        state = load_rollouts(journal)[rollout].state
        if not state.active or wait_s <= 0:
            return state
        if time.monotonic() >= give_up_s:
            raise DeviceError(
                f"rollout {rollout} is in wave {state.wave + 1} of {len(state.plan.waves)}"
                f" after {wait_s:g} s"
            )
        time.sleep(0.5)


def _fail_if_halted(state: RolloutState) -> None:
    from edgekit.errors import RefusedError
    from edgekit.fleet.rollouts import Phase

    if state.phase is Phase.HALTED:
        raise RefusedError(f"rollout {state.plan.rollout} halted: {state.reason}")


def _show(state: RolloutState, *, as_json: bool) -> None:
    from edgekit.fleet.orders import state_body
    from edgekit.fleet.rollouts import Result

    if as_json:
        print(json.dumps(state_body(state), indent=2))
        return
    plan = state.plan
    reason = f": {state.reason}" if state.reason else ""
    print(f"rollout {plan.rollout} of image {plan.image_id[:16]} is {state.phase.value}{reason}")
    counts = ", ".join(f"{state.count(result)} {result.value}" for result in Result)
    print(f"wave {state.wave + 1} of {len(plan.waves)}; {counts}; {len(plan.devices)} in all")
    for device, known in state.devices.items():
        said = f"{known.status.text} ({int(known.status)})" if known.status else ""
        print(f"{device:<32} {known.result.value:<10} {said}".rstrip())
