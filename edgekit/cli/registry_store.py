"""Which store a registry command works on: the project's own, or a SPARQL server's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edgekit.registry.store import Store

DATA = ".edgekit"
STORE = typer.Option(
    "",
    "--store",
    help="A SPARQL server instead of the project's own store: sparql+http://HOST:PORT/PATH.",
    show_default=False,
)


def open_store(project: Path, address: str, *, create: bool = False) -> Store:
    """Open a store to ask it; the project's own follows the journal first, a server is as it is.

    Args:
        project: Folder of the project.
        address: Of a server; empty for the project's own store.
        create: Make the project's own if it is missing.
    """
    from edgekit.registry.store import Store
    from edgekit.registry.sync import open_current, open_following

    if address:
        return Store.remote(address)
    return (open_following if create else open_current)(project / DATA)


def follow(project: Path, address: str) -> None:
    """Bring what the journal says into the store; if a service writes to it, that one does it.

    Raises:
        StoreError: If a server holds more than the journal says, or another project's.
    """
    if not address:
        open_store(project, "", create=True).close()
        return
    from edgekit.journal.journal import Journal
    from edgekit.registry.sync import catch_up

    with open_store(project, address) as store, Journal.open(project / DATA) as journal:
        catch_up(store, journal)
