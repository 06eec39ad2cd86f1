"""What a store stands on: pyoxigraph in this process, or a SPARQL 1.1 server elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyoxigraph as ox

Term = ox.NamedNode | ox.BlankNode | ox.Literal
Triples = ox.QueryTriples | Iterator[ox.Triple]
Results = ox.QuerySolutions | ox.QueryBoolean | Triples


class Engine(Protocol):
    """What `Store` needs; the messages of its errors begin with `place`.

    Attributes:
        place: How messages call it: a folder, an address, "memory".
        writable: Whether it may be changed.
        local: Whether reading a graph costs no round trip.
    """

    place: str
    writable: bool
    local: bool

    def query(
        self,
        text: str,
        values: Mapping[str, Term],
        *,
        default: Sequence[str] | None = None,
        named: Sequence[str] | None = None,
        base: str | None = None,
    ) -> Results:
        """Run a query whose default graph is the union of all, or of the graphs given.

        Raises:
            FormatError: If the text is no query, with line and column.
            StoreError: If the engine fails.
        """

    def update(self, text: str, *, base: str | None = None) -> None:
        """Run an update: all of it or nothing.

        Raises:
            FormatError: If the text is no update, with line and column.
            StoreError: If the engine fails, a full disk for example; nothing has changed then.
        """

    def quads(
        self, subject: ox.NamedNode | None, value: ox.NamedNode | None, graph: ox.NamedNode | None
    ) -> Iterator[ox.Quad]:
        """Yield the quads that have these parts; None is any."""

    def extend(self, quads: Iterable[ox.Quad]) -> None:
        """Add quads: all of them or none."""

    def bulk(self, source: Path | Iterable[ox.Quad]) -> None:
        """Add the quads of an N-Quads file, or of an iterator, fast and not atomically."""

    def backup(self, folder: Path) -> None:
        """Copy everything to a new folder as it is at one moment."""

    def size(self) -> int:
        """Return the number of quads."""

    def close(self) -> None:
        """Write everything to disk and let go of it."""
