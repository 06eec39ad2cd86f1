"""`edgekit registry add`, `measure` and `export`: boards, models and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgekit.cli.registry_store import DATA, STORE, follow, open_store

if TYPE_CHECKING:
    from typing import Any

    from edgekit.journal.journal import Journal

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")


def add(
    what: list[str] = typer.Argument(..., help="Boards by name, 'boards' for all, models by file."),
    board: str = typer.Option("", "--board", help="Compile a .tflite for the kernels of a board."),
    accuracy: float | None = typer.Option(
        None, "--accuracy", min=0, max=1, help="Share of right answers of the int8 model."
    ),
    sensors: list[str] = typer.Option(None, "--sensor", help="Kind that the input comes from."),
    rate_hz: float | None = typer.Option(None, "--rate-hz", help="Samples a second it expects."),
    project: Path = _PROJECT,
    address: str = STORE,
    as_json: bool = _JSON,
) -> None:
    """Describe boards of edgekit and models of yours in the registry.

    Example: edgekit registry add boards digits.tflite --accuracy 0.97 --sensor camera
    """
    import json

    from edgekit.boards import boards
    from edgekit.errors import ConfigError
    from edgekit.journal.journal import Journal

    events: list[tuple[str, str, dict[str, Any]]] = []
    for name in what:
        if name.endswith((".tflite", ".ekm")):
            known = {"int8": accuracy} if accuracy is not None else None
            events.append(_model_event(Path(name), board, known, sensors or [], rate_hz))
        elif name == "boards":
            events += [_board_event(each) for each in boards()]
        elif name in boards():
            events.append(_board_event(name))
        else:
            raise ConfigError(
                f"'{name}' is no board of edgekit and no .tflite or .ekm file;"
                f" boards are {', '.join(boards())}"
            )
    added = []
    with Journal.open(project / DATA) as journal:
        for kind, subject, body in events:
            if _is_new(journal, kind, subject, body):
                journal.append(kind, subject, body)
                added.append(subject)
    follow(project, address)
    if as_json:
        print(json.dumps({"added": added, "known": len(events) - len(added)}))
    else:
        print(f"{len(added)} added, {len(events) - len(added)} known as they are")


def measure(
    model: str = typer.Argument(..., help="Name, NAME:VERSION or image id."),
    board: str = typer.Option(..., "--board", help="Board that it ran on."),
    by: str = typer.Option(..., "--by", help="Who or what measured."),
    latency_us: int | None = typer.Option(None, "--latency-us", min=0, help="One inference."),
    energy_uj: int | None = typer.Option(None, "--energy-uj", min=0, help="One inference."),
    peak_ram: int | None = typer.Option(None, "--peak-ram-bytes", min=0, help="Most RAM in use."),
    instructions: int | None = typer.Option(None, "--instructions", min=0, help="One inference."),
    project: Path = _PROJECT,
    address: str = STORE,
    as_json: bool = _JSON,
) -> None:
    """Enter what one inference costs, so that it can be matched against a budget.

    Example: edgekit registry measure digits:1 --board mps2_an386 --by bench --latency-us 12400
    """
    import json

    from edgekit import __version__
    from edgekit.errors import StoreError
    from edgekit.journal.journal import Journal
    from edgekit.registry.names import find

    costs = {
        "latency_us": latency_us,
        "energy_uj": energy_uj,
        "peak_ram_bytes": peak_ram,
        "instructions": instructions,
    }
    if all(value is None for value in costs.values()):
        raise typer.BadParameter("expected one of --latency-us, --energy-uj, ...")
    with open_store(project, address) as store:
        image = find(store, model, "model").value.rsplit("/", 1)[-1]
        where = find(store, board, "board").value.rsplit("/", 1)[-1]
    if len(image) != 64:
        raise StoreError(f"model '{model}' was described by a document; measure a compiled one")
    body = {"image_id": image, "board": where, "measured_by": by, "tool_version": __version__}
    with Journal.open(project / DATA) as journal:
        journal.append("benchmark.measured", image, body | costs)
    follow(project, address)
    print(json.dumps(body | costs) if as_json else f"{model} on {where}: entered")


def export(
    name: str = typer.Argument(..., help="Device, model or other thing."),
    to: str = typer.Option(..., "--to", help="td (device), bom (model) or ttl (anything)."),
    out: Path | None = typer.Option(None, "--out", help="File; default standard output."),
    project: Path = _PROJECT,
    address: str = STORE,
    as_json: bool = _JSON,
) -> None:
    """Write a Thing Description 1.1, a CycloneDX bill of materials, or Turtle.

    Example: edgekit registry export device-17 --to td --out device-17.td.json
    """
    import json

    from edgekit.data.files import write_atomic
    from edgekit.registry.export import as_turtle, bill_of_materials, thing_description

    with open_store(project, address) as store:
        if to == "td":
            text = json.dumps(thing_description(store, name), indent=2)
        elif to == "bom":
            text = json.dumps(bill_of_materials(store, name), indent=2)
        elif to == "ttl":
            text = as_turtle(store, name)
        else:
            raise typer.BadParameter(f"--to is '{to}', expected td, bom or ttl")
    if out is None:
        print(text)
        return
    write_atomic(out, (text + "\n").encode())
    print(json.dumps({"file": str(out)}) if as_json else f"{out}: {len(text) + 1} bytes")


def _board_event(name: str) -> tuple[str, str, dict[str, Any]]:
    from edgekit.boards import load_board
    from edgekit.ops import kernel_set
    from edgekit.service.describe import board_body, data_board_body

    board = load_board(name)
    if board.support == "data":
        return "board.described", name, data_board_body(board)
    # What `edgekit build` puts in if nothing else is asked for.
    return "board.described", name, board_body(board, kernel_set("all", board.chip.kernel_family))


def _model_event(
    path: Path,
    board: str,
    accuracy: dict[str, float] | None,
    sensors: list[str],
    rate_hz: float | None,
) -> tuple[str, str, dict[str, Any]]:
    from edgekit.boards import load_board
    from edgekit.cli.model import load_model
    from edgekit.service.describe import model_body

    family = load_board(board).chip.kernel_family if board else "portable"
    model = load_model(path, family=family)
    body = model_body(
        model,
        device_class=board or "portable",
        accuracy=accuracy,
        sensors=sensors,
        rate_hz=rate_hz,
    )
    body["version"] = body["version"] or "0"
    return "model.registered", model.id.hex(), body


def _is_new(journal: Journal, kind: str, subject: str, body: dict[str, Any]) -> bool:
    said = [event.body for event in journal.events(0, (kind,), subject=subject)]
    return not said or said[-1] != body
