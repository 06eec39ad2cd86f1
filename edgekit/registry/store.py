"""The RDF store: pyoxigraph in memory or in a folder, with atomic replacement of whole graphs.

One process writes; others open the folder read-only and see its state at that moment. Values reach
a query as bound terms, never as text. Several graphs given to `replace_graphs` change together or
not at all: pyoxigraph runs one update as one transaction.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pyoxigraph as ox

from edgekit.errors import FormatError, StoreError
from edgekit.registry.terms import PREFIXES

Term = ox.NamedNode | ox.BlankNode | ox.Literal
Row = dict[str, Term | None]
Results = ox.QuerySolutions | ox.QueryBoolean | ox.QueryTriples

# A query may not make this process ask another server. The parser offers no switch for it, and
# knows keywords without space around them, so the word is refused wherever it stands; `\u` could
# spell it. Source: SPARQL 1.1 Query Language, 19.2 Codepoint Escape Sequences.
_SERVICE = re.compile(r"service|\\u", re.IGNORECASE)

Built = TypeVar("Built")

_READ_ATTEMPTS = 10
_READ_PAUSE_S = 0.1


class StoreInUseError(StoreError):
    """Another process writes to the store."""


class Store:
    """A set of named graphs that can be queried; the default graph of a query is their union."""

    def __init__(self, store: ox.Store, *, writable: bool) -> None:
        self._store = store
        self._kept: dict[str, tuple[tuple[str, ...], Any]] = {}
        self.writable = writable

    @classmethod
    def memory(cls) -> Self:
        """Return an empty store in memory."""
        return cls(ox.Store(), writable=True)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the store in a folder for writing; create it if it is missing.

        Raises:
            StoreInUseError: If another process writes to it.
            StoreError: If it cannot be read.
        """
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            return cls(ox.Store(folder), writable=True)
        except (OSError, RuntimeError) as exc:  # RuntimeError: RocksDB's "Corruption"
            if "lock" in str(exc).lower():
                raise StoreInUseError(f"registry {folder} is in use by another process") from exc
            raise StoreError(f"registry {folder} cannot be opened: {exc}") from exc

    @classmethod
    def read_only(cls, folder: Path) -> Self:
        """Open the store in a folder for reading, also while another process writes to it.

        The writer may remove a file between the reading of the list of files and of the file
        itself; then the list has changed, and the next attempt reads the new one.

        Raises:
            StoreError: If there is none, or it cannot be read.
        """
        if not (folder / "CURRENT").is_file():
            raise StoreError(f"no registry at {folder}; 'edgekit registry rebuild' makes one")
        for attempt in range(_READ_ATTEMPTS):
            try:
                return cls(ox.Store.read_only(str(folder)), writable=False)
            except (OSError, RuntimeError) as exc:  # RuntimeError: RocksDB's "Corruption"
                if attempt == _READ_ATTEMPTS - 1:
                    raise StoreError(f"registry {folder} cannot be read: {exc}") from exc
                time.sleep(_READ_PAUSE_S)
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Write everything to disk and let go of the folder."""
        if self.writable:
            self._store.flush()
        # The lock goes with the last reference: pyoxigraph has no close.
        self._store = ox.Store()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def replace_graph(self, graph: ox.NamedNode, quads: Iterable[ox.Quad]) -> None:
        """Make the quads, and nothing else, the content of one graph, atomically."""
        self.replace_graphs({graph: quads})

    def replace_graphs(self, changes: Mapping[ox.NamedNode, Iterable[ox.Quad]]) -> None:
        """Replace several graphs in one transaction; a graph without quads is removed.

        Raises:
            ValueError: If a quad names another graph or has a blank node, which nobody can name.
            StoreError: If the store cannot be written.
        """
        if not self.writable:
            raise StoreError("registry is open for reading only")
        operations: list[str] = []
        changed: list[str] = []
        for graph, quads in changes.items():
            new = _proven(graph, quads)
            old = set(self._store.quads_for_pattern(None, None, None, graph))
            if old == new:
                continue
            changed.append(graph.value)
            for verb, some in (("DELETE", old - new), ("INSERT", new - old)):
                if some:
                    # The serializer escapes every term; no text of a caller is pasted.
                    triples = (quad.triple for quad in some)
                    text = (ox.serialize(triples, format=ox.RdfFormat.N_TRIPLES) or b"").decode()
                    operations.append(f"{verb} DATA {{ GRAPH {graph} {{\n{text}}} }}")
            if not new:
                operations.append(f"DROP SILENT GRAPH {graph}")
        try:
            if operations:
                self._store.update(" ;\n".join(operations))
        except OSError as exc:
            raise StoreError(f"registry cannot be written: {exc}") from exc
        self._forget(changed)

    def kept(self, name: str, prefixes: Sequence[str], build: Callable[[], Built]) -> Built:
        """Return what `build` makes of the store, made anew only after a change of what it is from.

        Args:
            name: Of the value; one is kept for each.
            prefixes: Beginnings of the IRIs of the graphs that it is made from.
        """
        if name not in self._kept:
            self._kept[name] = (tuple(prefixes), build())
        found: Built = self._kept[name][1]
        return found

    def _forget(self, graphs: Iterable[str]) -> None:
        if not self._kept:
            return
        for graph in graphs:
            stale = [name for name, (some, _) in self._kept.items() if graph.startswith(some)]
            for name in stale:
                del self._kept[name]

    def fill(self, quads: Iterable[ox.Quad]) -> None:
        """Add quads in bulk, not atomically: only for a store that nobody uses yet."""
        self._store.bulk_extend(quads)
        self._kept.clear()

    def query(self, text: str, values: Mapping[str, Term] | None = None) -> Results:
        """Run a SPARQL query over all graphs, with the prefixes of `terms.py` declared.

        Args:
            text: SELECT, ASK, CONSTRUCT or DESCRIBE.
            values: Terms to put in the place of variables, by name without question mark; the query
                must project each, and must use it outside OPTIONAL.

        Raises:
            FormatError: If the text is no query, or asks another server.
        """
        found = _SERVICE.search(text)
        if found is not None:
            raise FormatError(f"query: found '{found[0]}', expected a query of this registry only")
        try:
            return self._store.query(
                text,
                prefixes=PREFIXES,
                use_default_graph_as_union=True,
                substitutions={ox.Variable(name): node for name, node in (values or {}).items()},
            )
        except SyntaxError as exc:
            raise FormatError(f"query: {exc}") from exc
        except OSError as exc:
            raise StoreError(f"registry cannot be read: {exc}") from exc

    def select(self, text: str, values: Mapping[str, Term] | None = None) -> Iterator[Row]:
        """Run a SELECT query and yield a dict per row; an unbound variable is None."""
        results = self.query(text, values)
        if not isinstance(results, ox.QuerySolutions):
            raise FormatError("query: found another form, expected SELECT")
        # Bound values need no look-up in the row; a row of a large result is mostly look-ups.
        bound: Row = dict(values or {})
        names = [v.value for v in results.variables if v.value not in bound]
        for row in results:
            found = bound.copy()
            for name in names:
                term = row[name]
                if isinstance(term, ox.Triple):
                    raise FormatError("query: a row has a triple as value, expected a node")
                found[name] = term
            yield found

    def named(self, name: str, values: Mapping[str, Term] | None = None) -> Iterator[Row]:
        """Run the SELECT query of the file `queries/<name>.rq`."""
        return self.select(query_text(name), values)

    def quads(self, graph: ox.NamedNode | None = None) -> Iterator[ox.Quad]:
        """Yield all quads, or those of one graph."""
        return self._store.quads_for_pattern(None, None, None, graph)

    def describe(self, node: ox.NamedNode) -> Iterator[ox.Quad]:
        """Yield all quads about a thing, whatever graph they are in."""
        return self._store.quads_for_pattern(node, None, None, None)

    def mentions(self, node: ox.NamedNode) -> Iterator[ox.Quad]:
        """Yield all quads that point to a thing."""
        return self._store.quads_for_pattern(None, None, node, None)

    def canonical(self) -> ox.Dataset:
        """Return a copy of everything in canonical form, for comparison.

        Source: RDF Dataset Canonicalization (RDFC-1.0), W3C Recommendation 2024.
        """
        dataset = ox.Dataset(self._store)
        dataset.canonicalize(ox.CanonicalizationAlgorithm.RDFC_1_0_SHA_256)
        return dataset

    def __len__(self) -> int:
        return len(self._store)


def _proven(graph: ox.NamedNode, quads: Iterable[ox.Quad]) -> set[ox.Quad]:
    """Return the quads as a set; nobody could name a blank node again."""
    found = set(quads)
    for quad in found:
        if quad.graph_name != graph:
            raise ValueError(f"quad of graph {quad.graph_name} among those of {graph}")
        if isinstance(quad.subject, ox.BlankNode) or isinstance(quad.object, ox.BlankNode):
            raise ValueError(f"blank node in graph {graph}")
    return found


def query_text(name: str) -> str:
    """Return the text of a query that comes with edgekit."""
    return (resources.files("edgekit.registry") / "queries" / f"{name}.rq").read_text("utf-8")
