"""`edgekit federate`: let the devices of a fleet train the head of their model together."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgekit.cli.federate_simulate import simulate

if TYPE_CHECKING:
    from edgekit.federated.live import Run
    from edgekit.federated.state import RoundRow

federate_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Learn together without moving samples."
)

federate_app.command("simulate")(simulate)

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")
_INTERRUPTED = 130


@federate_app.command("run")
def run(
    image: str = typer.Argument(
        "", help="Image id, or its beginning, of a published release; default the newest."
    ),
    devices: list[str] = typer.Option(
        [], "--device", help="Only this device; may be repeated. Default: all that run the image."
    ),
    boards: list[str] = typer.Option(
        [], "--board", help="Only devices of this class; may be repeated."
    ),
    select: str | None = typer.Option(
        None,
        "--select",
        help="Only devices that a query names in ?device: SPARQL, a file *.rq, or a saved query"
        " with its values. Default [federated] devices.",
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
    accept: Path | None = typer.Option(
        None, "--accept", help="Measure each round's head on this acceptance set (.npz)."
    ),
    out: Path | None = typer.Option(None, "--out", help="Write the final head object here."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Run federated rounds on the devices of a running fleet, and wait for the end.

    What is not given comes from [federated] and [learn] of the project's edgekit.toml. Devices are
    chosen once, when the run begins. The run goes on when this command is interrupted; 'edgekit
    federate abort' ends it.

    Example: edgekit federate run 3f9a --select "cohort since=1h" --accept accept.npz --rounds 5
    """
    from edgekit.cli.federate_plan import find_release, labelled, make_plan, project_config
    from edgekit.cli.federate_watch import follow
    from edgekit.errors import ConfigError
    from edgekit.federated.live import Follower
    from edgekit.federated.orders import begin, head_of_image
    from edgekit.fleet.broker import running_broker
    from edgekit.fleet.orders import open_journal
    from edgekit.service.cohort import Wanted, find_cohort, names

    root = project / ".edgekit"
    if running_broker(root) is None:
        raise ConfigError("fleet is not running; 'edgekit fleet up' starts it")
    config = project_config(project)
    named = select is None and not devices and not boards
    wanted = Wanted(
        devices=tuple(dict.fromkeys(devices)),
        boards=tuple(boards),
        question=(config.federated.devices if named else select) or "",
        folder=project if named else Path(),
    )
    if wanted.devices and (wanted.boards or wanted.question):
        raise typer.BadParameter("--device goes with neither --board nor --select")
    with open_journal(root) as journal:
        release = find_release(journal, image)
        content = journal.blob(release.blob)
        head = head_of_image(content)
        cohort = find_cohort(root, wanted, release.image_id, head=(head.classes, head.features))
        if cohort.left_out:
            print(
                f"left out, as they do not run image {release.image_id[:12]}:"
                f" {names(cohort.left_out)}",
                file=sys.stderr,
            )
        follower = Follower(journal)
        follower.poll()
        plan = make_plan(
            config,
            run=max(follower.runs, default=0) + 1,
            base_image=release.image_id,
            devices=cohort.devices,
            strategy=strategy,
            rounds=rounds,
            epochs=epochs,
            rate=rate,
            decay=decay,
            deadline_s=deadline_s,
            min_updates=min_updates,
            max_samples=max_samples,
            chosen={"codec": codec, "share": share, "feedback": feedback, "secure": secure},
            select=wanted.text(),
            accept=journal.blobs.write(labelled(content, accept)) if accept else "",
        )
        fact = begin(plan, head, claimed=cohort.claimed, states=follower.runs, skills=cohort.skills)
        journal.append(fact.kind, str(plan.run), fact.body, actor="cli", blob=fact.blob)
        follower.poll()
        found = follower.runs[plan.run]
        try:
            follow(follower, found, root, quiet=as_json)
        except KeyboardInterrupt:
            _say_how_to_go_on(plan.run)
            raise typer.Exit(_INTERRUPTED) from None
    if out is not None:
        _write_head(project, plan.run, out)
    if as_json:
        _show(found, as_json=True)
    else:
        print("\n".join(_end_lines(found)))


@federate_app.command("status")
def status(
    run: int = typer.Argument(0, help="Number of the run; default the newest."),
    watching: bool = typer.Option(False, "--watch", help="Until it ends, with every change."),
    page: Path | None = typer.Option(None, "--report", help="Write it as an HTML page here."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Show how far a run is, round by round.

    With --watch on a terminal a table that stays: who answered, why others did not count, bytes,
    loss, accuracy, time left; elsewhere a line per change, with --json a JSON object per line.

    Example: edgekit federate status --watch
    """
    from edgekit.cli.federate_watch import find_run, watch
    from edgekit.federated.live import Follower
    from edgekit.fleet.orders import open_journal

    root = project / ".edgekit"
    with open_journal(root) as journal:
        follower = Follower(journal)
        follower.poll()
        found = find_run(follower, run)
        if watching:
            try:
                watch(follower, found, root, as_json=as_json)
            except KeyboardInterrupt:
                raise typer.Exit(_INTERRUPTED) from None
        if page is not None:
            from edgekit.cli.federate_report import write_page

            write_page(found, page)
    if page is not None and not as_json:
        print(f"written to {page}")
    if page is None and not watching:
        _show(found, as_json=as_json)


@federate_app.command("export")
def export(
    run: int = typer.Argument(0, help="Number of the run; default the newest."),
    out: Path = typer.Option(..., "--out", help="Write the model image (.ekm) here."),
    version: str | None = typer.Option(
        None, "--version", help="Of the model; default that of the base, with -runN."
    ),
    accept: Path | None = typer.Option(
        None, "--accept", help="Samples for the range of the outputs; default those of the run."
    ),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Write the head that a run has reached as a model image; 'edgekit update publish' releases it.

    Example: edgekit federate export 3 --out tuned.ekm --version 2
    """
    from edgekit.cli.federate_export import export_head
    from edgekit.cli.federate_watch import find_run
    from edgekit.federated.live import Follower
    from edgekit.fleet.orders import open_journal

    with open_journal(project / ".edgekit") as journal:
        follower = Follower(journal)
        follower.poll()
        found = find_run(follower, run)
        model = export_head(journal, found, out, version=version, accept=accept)
    facts = {
        "run": found.plan.run,
        "head_hash": found.head_hash,
        "name": model.meta.name,
        "version": model.meta.version,
        "image_id": model.id.hex(),
        "written": str(out),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(
        f"'{model.meta.name}' {model.meta.version} with the head of run {found.plan.run} is in"
        f" {out}; 'edgekit update publish {out}' releases it"
    )


@federate_app.command("abort")
def abort(
    run: int = typer.Argument(..., help="Number of the run."),
    reason: str = typer.Option("by hand", "--reason", help="Why; kept in the journal."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """End a run; what it has learned so far stays.

    Example: edgekit federate abort 3 --reason enough
    """
    from edgekit.cli.federate_watch import find_run
    from edgekit.federated import orders
    from edgekit.federated.live import Follower
    from edgekit.fleet.orders import open_journal

    with open_journal(project / ".edgekit") as journal:
        follower = Follower(journal)
        follower.poll()
        find_run(follower, run)
        fact = orders.abort(orders.run_states(journal, run)[run], reason)
        journal.append(fact.kind, str(run), fact.body, actor="cli", blob=fact.blob)
        follower.poll()
    if as_json:
        _show(follower.runs[run], as_json=True)
        return
    print(f"run {run} is finished: {fact.body['reason']}")


def _write_head(project: Path, run: int, out: Path) -> None:
    from edgekit.data.files import write_atomic
    from edgekit.federated.orders import run_states
    from edgekit.fleet.orders import open_journal

    with open_journal(project / ".edgekit") as journal:
        write_atomic(out, run_states(journal, run)[run].head.encode())


def _say_how_to_go_on(run: int) -> None:
    print(
        f"\nrun {run} goes on; 'edgekit federate status {run} --watch' follows it,"
        f" 'edgekit federate abort {run}' ends it",
        file=sys.stderr,
    )


def _privacy(found: Run) -> str:
    from edgekit.errors import ToolError
    from edgekit.federated.privacy import epsilon, participations

    settings = found.plan.settings
    times = participations(found.plan, found.round)
    try:
        spent = f"epsilon {epsilon(settings, times):.2f}"
    except ToolError as exc:
        spent = str(exc)
    return f"privacy: {spent} at delta {settings.privacy_delta:g}, a device was asked {times} times"


def round_line(row: RoundRow) -> str:
    """Say how a round went, and who was rejected why."""
    loss = ""
    if row.loss_first is not None and row.loss_last is not None:
        same = row.loss_first == row.loss_last  # of one epoch
        loss = f", loss {row.loss_last:.4f}"
        if not same:
            loss = f", loss {row.loss_first:.4f} -> {row.loss_last:.4f}"
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


def _show(found: Run, *, as_json: bool) -> None:
    from edgekit.federated.live import run_body
    from edgekit.service.cohort import names

    if as_json:
        print(json.dumps(run_body(found), indent=2))
        return
    head, *rest = _end_lines(found)
    lines = [head, *(round_line(row) for row in found.table)]
    if found.current is not None and found.current.missing:
        lines.append(f"no answer yet from {names(found.current.missing, 20)}")
    print("\n".join([*lines, *rest]))


def _end_lines(found: Run) -> list[str]:
    """Say what a run is, who was rejected how often, and its head."""
    plan = found.plan
    reason = f": {found.reason}" if found.reason else ""
    lines = [
        f"run {plan.run} of {len(plan.devices)} devices, {plan.strategy}, round {found.round} of"
        f" {plan.rounds}, is {found.phase.value}{reason}"
    ]
    if plan.select:
        lines.append(f"devices chosen by: {' '.join(plan.select.split())}")
    for device, reasons in found.rejections().items():
        times = f"{reasons.total()} time{'s' if reasons.total() > 1 else ''}"
        lines.append(f"rejected {times}: {device}, {'; '.join(reasons)}")
    if plan.settings.noise:
        lines.append(_privacy(found))
    return [*lines, f"head {found.head_hash}"]
