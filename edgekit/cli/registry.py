"""`edgekit registry`: load, ask, match and check what the fleet is."""

from __future__ import annotations

from pathlib import Path

import typer

from edgekit.cli import registry_ask, registry_describe, registry_serve
from edgekit.cli.registry_store import DATA, STORE, open_store

registry_app = typer.Typer(
    help="The RDF registry of models, boards, devices and runs.", no_args_is_help=True
)

for _command in (
    registry_ask.query,
    registry_ask.match,
    registry_ask.show,
    registry_describe.add,
    registry_describe.measure,
    registry_describe.export,
    registry_serve.serve,
    registry_serve.backup,
    registry_serve.restore,
):
    registry_app.command()(_command)

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@registry_app.command()
def load(
    file: Path = typer.Argument(..., help="Turtle (.ttl) or JSON-LD (.jsonld, .json, .td)."),
    name: str = typer.Option("", "--name", help="Name of the document; default the file's."),
    project: Path = _PROJECT,
    address: str = STORE,
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
    with (
        open_store(project, address, create=True) as store,
        Journal.open(project / DATA) as journal,
    ):
        report, graph = load_document(
            store, journal, data, media_type, name=name or file.stem, source=file.name
        )
    if as_json:
        facts = {"graph": graph, "triples": report.triples, "checked": report.checked}
        print(json.dumps(facts))
    else:
        print(f"{graph}: {report.triples} triples, {report.checked} things with a shape")


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
            {
                "focus": v.focus,
                "path": v.path,
                "found": v.found,
                "expected": v.expected,
                "rule": v.rule,
            }
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
def rebuild(project: Path = _PROJECT, address: str = STORE, as_json: bool = _JSON) -> None:
    """Make the registry anew from the journal; with --store, all that a server holds.

    Example: edgekit registry rebuild
    """
    import json

    from edgekit.errors import StoreError
    from edgekit.journal.journal import Journal
    from edgekit.registry.sync import STORE_FOLDER, rebuild_there
    from edgekit.registry.sync import rebuild as make_anew

    root = project / DATA
    if not (root / "journal.db").is_file():
        raise StoreError(f"no journal at {root / 'journal.db'}")
    with Journal.open(root) as journal:
        if address:
            with open_store(project, address) as store:
                quads = rebuild_there(store, journal)
        else:
            quads = make_anew(root / STORE_FOLDER, journal)
        events = journal.last_seq()
    if as_json:
        print(json.dumps({"events": events, "quads": quads}))
    else:
        print(f"{events} events, {quads} quads")


def _read(path: Path) -> bytes:
    from edgekit.errors import FormatError

    try:
        return path.read_bytes()
    except OSError as exc:
        raise FormatError(f"{path}: cannot be read: {exc.strerror}") from exc
