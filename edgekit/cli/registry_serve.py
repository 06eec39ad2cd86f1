"""`edgekit registry serve`, `backup` and `restore`: the store as a service and as a file."""

from __future__ import annotations

from pathlib import Path

import typer

from edgekit.cli.registry_store import DATA, STORE, open_store

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")


def serve(
    project: Path = _PROJECT,
    host: str = typer.Option("127.0.0.1", "--host", help="Address to listen on."),
    port: int = typer.Option(7878, "--port", min=0, max=65535, help="0 for a free one."),
    write: bool = typer.Option(False, "--write", help="Serve updates too; rebuild drops them."),
    time_s: float = typer.Option(10.0, "--time", min=0.1, help="Seconds for one request."),
    size_mb: int = typer.Option(16, "--size", min=1, help="Megabytes of a result."),
    readers: int = typer.Option(2, "--readers", min=1, max=64, help="Queries at a time."),
    as_json: bool = _JSON,
) -> None:
    """Serve the registry: SPARQL 1.1 Protocol and a page; it follows the journal while it runs.

    Example: edgekit registry serve --port 7878
    """
    import json
    import signal

    from edgekit.errors import StoreError
    from edgekit.registry.http_server import RegistryServer, Service

    root = project / DATA
    if not (root / "journal.db").is_file():
        raise StoreError(f"no journal at {root / 'journal.db'}: nothing was registered yet")
    service = Service(
        root,
        host=host,
        port=port,
        write=write,
        time_s=time_s,
        most_bytes=size_mb * 1_000_000,
        readers=readers,
    )
    with RegistryServer(service) as server:
        what = "reads and writes" if write else "reads"
        print(json.dumps({"url": server.url}) if as_json else f"{server.url} {what}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.end())
        server.wait()


def backup(
    file: Path = typer.Argument(..., help="File to write: .nq, or .nq.gz compressed."),
    project: Path = _PROJECT,
    address: str = STORE,
    as_json: bool = _JSON,
) -> None:
    """Write the whole registry to one N-Quads file, also while a service writes to it.

    Example: edgekit registry backup registry.nq.gz
    """
    import json

    from edgekit.registry.backup import write_backup

    with open_store(project, address) as store:
        count = write_backup(store, file)
    print(json.dumps({"quads": count}) if as_json else f"{file}: {count} quads")


def restore(
    file: Path = typer.Argument(..., help="File that backup wrote."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Put the content of a backup in the place of the registry, then follow the journal.

    Example: edgekit registry restore registry.nq.gz
    """
    import json

    from edgekit.registry.backup import restore_backup

    count = restore_backup(project / DATA, file)
    print(json.dumps({"quads": count}) if as_json else f"{file}: {count} quads")
