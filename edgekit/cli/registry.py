"""`edgekit registry`: load, ask, match and check what the fleet is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgekit.cli import registry_serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.registry.match import Match
    from edgekit.registry.store import Store

registry_app = typer.Typer(
    help="The RDF registry of models, boards, devices and runs.", no_args_is_help=True
)

for _command in (registry_serve.serve, registry_serve.backup, registry_serve.restore):
    registry_app.command()(_command)

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")
_DATA = ".edgekit"


@registry_app.command()
def load(
    file: Path = typer.Argument(..., help="Turtle (.ttl) or JSON-LD (.jsonld, .json, .td)."),
    name: str = typer.Option("", "--name", help="Name of the document; default the file's."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Check a document and take it into the registry; it replaces the one of the same name.

    Example: edgekit registry load board.ttl
    """
    import json

    from edgekit.journal.journal import Journal
    from edgekit.registry.documents import media_type_of
    from edgekit.registry.load import load_document

    data = _read(file)
    media_type = media_type_of(file)
    with _open(project, create=True) as store, Journal.open(project / _DATA) as journal:
        report, graph = load_document(
            store, journal, data, media_type, name=name or file.stem, source=file.name
        )
    if as_json:
        facts = {"graph": graph, "triples": report.triples, "checked": report.checked}
        print(json.dumps(facts))
    else:
        print(f"{graph}: {report.triples} triples, {report.checked} things with a shape")


@registry_app.command()
def query(
    text: str = typer.Argument(..., help="SPARQL, or a file *.rq that holds it."),
    project: Path = _PROJECT,
    as_json: bool = typer.Option(False, "--json", help="SPARQL results as JSON."),
    as_csv: bool = typer.Option(False, "--csv", help="SPARQL results as CSV."),
) -> None:
    """Run a SPARQL query; the prefixes ek, schema, prov and so on are declared.

    Example: edgekit registry query "SELECT ?d { ?d a ek:Device }" --csv
    """
    from edgekit.registry import render

    if text.endswith(".rq"):
        text = _read(Path(text)).decode("utf-8", "replace")
    write = render.as_json if as_json else render.as_csv if as_csv else render.as_table
    with _open(project) as store:
        print(write(store.query(text)))


@registry_app.command()
def match(
    board: str = typer.Option("", "--board", help="Which models fit this board."),
    device: str = typer.Option("", "--device", help="Which models fit this device."),
    model: str = typer.Option("", "--model", help="Which boards and devices can run this model."),
    task: str = typer.Option("", "--task", help="Only models of this task."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Say what fits, and of the rest why not.

    Example: edgekit registry match --board mps2_an386
    """
    import json

    from edgekit.registry import match as matching
    from edgekit.registry.render import table

    if sum(map(bool, (board, device, model))) != 1:
        raise typer.BadParameter("expected one of --board, --device and --model")
    with _open(project) as store:
        groups: dict[str, Sequence[Match]] = {}
        if board:
            groups["models"] = matching.models_for_board(store, board, task=task or None)
        elif device:
            groups["models"] = matching.models_for_device(store, device, task=task or None)
        else:
            groups["boards"] = matching.boards_for_model(store, model)
            groups["devices"] = matching.devices_for_model(store, model)
    if as_json:
        facts = {key: [_match_facts(found) for found in group] for key, group in groups.items()}
        print(json.dumps(facts, indent=2))
        return
    for key, group in groups.items():
        rows = []
        for found in group:
            accuracy = "" if found.accuracy is None else f"{found.accuracy:.1%}"
            why = "; ".join(str(reason) for reason in found.reasons)
            rows.append([found.name, "yes" if found.fits else "no", accuracy, why])
        print(table([key.removesuffix("s"), "fits", "accuracy", "why not"], rows))


@registry_app.command()
def show(
    name: str = typer.Argument(..., help="IRI, name, device id, NAME:VERSION or image id."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Print all that is known about one thing.

    Example: edgekit registry show mps2_an386
    """
    import json

    from edgekit.registry.names import find
    from edgekit.registry.terms import shorten

    with _open(project) as store:
        node = find(store, name)
        facts: dict[str, list[str]] = {}
        for quad in store.describe(node):
            value = getattr(quad.object, "value", str(quad.object))
            facts.setdefault(shorten(quad.predicate.value), []).append(shorten(value))
        pointed = sorted(
            {
                f"{shorten(quad.predicate.value)} of {shorten(str(quad.subject)[1:-1])}"
                for quad in store.mentions(node)
            }
        )
    facts = {key: sorted(set(values)) for key, values in sorted(facts.items())}
    if as_json:
        print(json.dumps({"iri": node.value, "facts": facts, "is": pointed}, indent=2))
        return
    print(node.value)
    for key, values in facts.items():
        print(f"  {key:<26} {', '.join(values)}")
    for line in pointed:
        print(f"  is {line}")


@registry_app.command()
def validate(
    file: Path = typer.Argument(..., help="Turtle (.ttl) or JSON-LD (.jsonld, .json, .td)."),
    shapes: Path | None = typer.Option(
        None, "--shapes", help="A file of shapes or a folder of them; default edgekit's own."
    ),
    as_json: bool = _JSON,
) -> None:
    """Check a document against the shapes, one line per violation; exit 1 if there is one.

    Example: edgekit registry validate board.ttl
    """
    import json

    from edgekit.registry.documents import media_type_of, read_document
    from edgekit.registry.load import document_graph
    from edgekit.registry.shacl import check

    data = _read(file)
    graph = document_graph(file.stem)
    report = check(
        read_document(data, media_type_of(file), graph=graph, source=file.name), shapes=shapes
    )
    if as_json:
        violations = [
            {"focus": v.focus, "path": v.path, "found": v.found, "expected": v.expected}
            for v in report.violations
        ]
        facts = {"triples": report.triples, "checked": report.checked, "violations": violations}
        print(json.dumps(facts, indent=2))
    else:
        for violation in report.violations:
            print(violation)
        what = f"{report.triples} triples, {report.checked} things with a shape"
        print(f"{file.name}: {what}, {len(report.violations)} violations")
    if report.violations:
        raise typer.Exit(1)


@registry_app.command()
def rebuild(project: Path = _PROJECT, as_json: bool = _JSON) -> None:
    """Make the registry anew from the journal.

    Example: edgekit registry rebuild
    """
    import json

    from edgekit.errors import StoreError
    from edgekit.journal.journal import Journal
    from edgekit.registry.sync import STORE_FOLDER
    from edgekit.registry.sync import rebuild as make_anew

    root = project / _DATA
    if not (root / "journal.db").is_file():
        raise StoreError(f"no journal at {root / 'journal.db'}")
    with Journal.open(root) as journal:
        quads = make_anew(root / STORE_FOLDER, journal)
        events = journal.last_seq()
    if as_json:
        print(json.dumps({"events": events, "quads": quads}))
    else:
        print(f"{events} events, {quads} quads")


def _open(project: Path, *, create: bool = False) -> Store:
    from edgekit.registry.sync import open_current, open_writer

    return (open_writer if create else open_current)(project / _DATA)


def _read(path: Path) -> bytes:
    from edgekit.errors import FormatError

    try:
        return path.read_bytes()
    except OSError as exc:
        raise FormatError(f"{path}: cannot be read: {exc.strerror}") from exc


def _match_facts(found: Match) -> dict[str, object]:
    return {
        "iri": found.iri,
        "name": found.name,
        "fits": found.fits,
        "accuracy": found.accuracy,
        "reasons": [
            {"code": r.code, "needed": r.needed, "found": r.found, "text": str(r)}
            for r in found.reasons
        ],
    }
