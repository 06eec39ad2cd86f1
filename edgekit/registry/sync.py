"""Keeping the RDF store in step with the journal, and making it anew from it.

The store remembers, in the same transaction as the changes, up to which event it follows the
journal: after a crash it goes on from there. It holds nothing that is not in the journal.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyoxigraph as ox

from edgekit.errors import StoreError
from edgekit.journal.journal import Event, Journal
from edgekit.registry.embedded import hold, lock_path
from edgekit.registry.facts import Changes
from edgekit.registry.project import position, project
from edgekit.registry.store import Store, StoreInUseError
from edgekit.registry.terms import JOURNAL, JOURNAL_GRAPH, term

STORE_FOLDER = "registry"
_BATCH_EVENTS = 500


def projected(store: Store) -> int:
    """Return the number of the last event that the store contains, 0 if none."""
    for quad in store.quads(JOURNAL_GRAPH):
        if quad.subject == JOURNAL and quad.predicate == term("ek:projectedSequence"):
            return int(getattr(quad.object, "value", "0"))
    return 0


def apply(store: Store, event: Event, blob: bytes | None = None) -> None:
    """Bring one event into the store, which must contain the one before it.

    An event that the store already contains changes nothing.

    Raises:
        StoreError: If events are missing between the store and this one.
    """
    last = projected(store)
    if event.seq <= last:
        return
    if event.seq != last + 1:
        raise StoreError(f"registry contains journal event {last}, cannot go on with {event.seq}")
    store.replace_graphs(project(event, blob) | position(event.seq))


def catch_up(store: Store, journal: Journal, most: int | None = None) -> int:
    """Bring all events that the store lacks into it, or the first `most`; return how many."""
    first = projected(store)
    last = stored = first
    if journal.last_seq() < first:
        raise StoreError(
            f"registry contains journal event {first}, the journal ends at {journal.last_seq()};"
            " 'edgekit registry rebuild' makes it anew"
        )
    changes: Changes = {}
    for event in journal.events(after=first):
        changes |= project(event, _blob(journal, event))
        last = event.seq
        if last - stored == _BATCH_EVENTS:
            store.replace_graphs(changes | position(last))
            changes, stored = {}, last
        if most is not None and last - first == most:
            break
    if last > stored:
        store.replace_graphs(changes | position(last))
    return last - first


def rebuild(folder: Path, journal: Journal) -> int:
    """Make the store in a folder anew from the journal; return the number of quads.

    It is made beside the old one and takes its place when it is whole. If that is cut, the next
    opening finds the old one, or none and follows the journal from its start.

    Raises:
        StoreError: If another process writes to the store, or the journal cannot be projected.
    """
    return make_anew(folder, lambda store: store.fill(_last_quads(journal)))


def _last_quads(journal: Journal) -> Iterator[ox.Quad]:
    """Yield the quads of every graph as the last event about it wrote it, the last event first."""
    seen: set[str] = set()
    last = 0
    for event in journal.newest_first():
        last = max(last, event.seq)
        for where, quads in project(event, _blob(journal, event)).items():
            if where.value not in seen:
                seen.add(where.value)
                yield from quads
    # At the end: a store whose filling was cut does not say that it is whole.
    for quads in position(last).values():
        yield from quads


def rebuild_there(store: Store, journal: Journal) -> int:
    """Make a store that is not ours anew from the journal, in its place; return its quads.

    If that is cut, the store does not say that it follows the journal, and it is made anew again.

    Raises:
        StoreError: If it cannot be written.
    """
    store.update("DROP ALL")
    store.fill(_last_quads(journal))
    return len(store)


def make_anew(folder: Path, fill: Callable[[Store], None]) -> int:
    """Fill a new store and put it in the place of the one in a folder; return its quads.

    The old one is held meanwhile, so nobody writes to it. One that is damaged is replaced, too.

    Raises:
        StoreInUseError: If another process writes to the store.
        StoreError: If the new one cannot be written; the old one stays then.
    """
    fresh = folder.with_name(folder.name + ".new")
    old = folder.with_name(folder.name + ".old")
    # RocksDB goes by the names of its files: a folder that it has open must not be renamed.
    with hold(folder):
        try:
            for rest in (fresh, old):
                shutil.rmtree(rest, ignore_errors=True)
            with Store.open(fresh) as store:
                fill(store)
                count = len(store)
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        except OSError as exc:
            raise StoreError(f"registry {folder} cannot be made anew: {exc}") from exc
        finally:
            for rest in (fresh, old):
                shutil.rmtree(rest, ignore_errors=True)
            lock_path(fresh).unlink(missing_ok=True)
    return count


def open_writer(root: Path) -> Store:
    """Open the store of a project for writing, in step with the journal; make what is missing.

    Args:
        root: The folder `.edgekit` of the project.

    Raises:
        StoreError: If another process writes to it: the service, then, is the one to ask.
    """
    store = Store.open(root / STORE_FOLDER)
    with Journal.open(root) as journal:
        catch_up(store, journal)
    return store


def open_current(root: Path) -> Store:
    """Open the store of a project to read from it.

    If no other process writes to it, it is brought in step with the journal first; else it is as
    that process has left it on disk.

    Args:
        root: The folder `.edgekit` of the project.
    """
    if not (root / "journal.db").is_file():
        raise StoreError(f"no journal at {root / 'journal.db'}: nothing was registered yet")
    return open_following(root)


def open_following(root: Path) -> Store:
    """Do as `open_current`, and make what is missing.

    Args:
        root: The folder `.edgekit` of the project.
    """
    try:
        return open_writer(root)
    except StoreInUseError:
        return Store.read_only(root / STORE_FOLDER)


def _blob(journal: Journal, event: Event) -> bytes | None:
    if event.kind != "document.loaded" or event.blob is None:
        return None
    return journal.blob(event.blob)
