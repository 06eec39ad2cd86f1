"""The store of the registry: named graphs that change whole, over any engine.

One process writes; others open a folder read-only and see its state at that moment. Values reach a
query as bound terms, never as text. Several graphs given to `replace_graphs` change together or not
at all: one update is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self, TypeVar

import pyoxigraph as ox

from edgekit.errors import FormatError, StoreError
from edgekit.registry.embedded import Embedded, StoreInUseError
from edgekit.registry.engine import Engine, Results, Term, Triples
from edgekit.registry.limits import check_query, check_update
from edgekit.registry.sparql_http import SparqlHttp
from edgekit.started import Opened

__all__ = ["Health", "Results", "Row", "Store", "StoreInUseError", "Term", "query_text"]

Row = dict[str, Term | None]
Built = TypeVar("Built")


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a graph."""

    graph: str
    removed: Set[ox.Quad]
    added: Set[ox.Quad]


@dataclass(slots=True)
class _Kept:
    """A value made of the store.

    Attributes:
        prefixes: Beginnings of the IRIs of the graphs that it is made from.
        follow: Takes a change into the value; says whether it could.
    """

    prefixes: tuple[str, ...]
    value: Any
    follow: Callable[[Any, Change], bool]


@dataclass(frozen=True, slots=True)
class Health:
    """What a store says of itself.

    Attributes:
        place: Folder, address, or "registry" in memory.
        quads: How many it has.
    """

    place: str
    writable: bool
    quads: int


class Store(Opened):
    """A set of named graphs that can be queried; the default graph of a query is their union."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[str, _Kept] = {}

    @classmethod
    def memory(cls) -> Self:
        """Return an empty store in memory."""
        return cls(Embedded.memory())

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the store in a folder for writing; create it if it is missing.

        Raises:
            StoreInUseError: If another process writes to it.
            StoreError: If it cannot be read.
        """
        return cls(Embedded.open(folder))

    @classmethod
    def read_only(cls, folder: Path) -> Self:
        """Open the store in a folder for reading, as it is at this moment.

        Raises:
            StoreError: If there is none, or it cannot be read.
        """
        return cls(Embedded.read_only(folder))

    @classmethod
    def remote(cls, address: str) -> Self:
        """Use the SPARQL server at `sparql+http://...`, which must see the union of its graphs.

        Raises:
            FormatError: If the address has another form.
            StoreError: If the server does not answer, or not so.
        """
        engine = SparqlHttp(address)
        engine.health()
        return cls(engine)

    @property
    def writable(self) -> bool:
        """Whether it may be changed."""
        return self._engine.writable

    def close(self) -> None:
        """Write everything to disk and let go of the folder."""
        self._kept.clear()
        self._engine.close()

    def health(self) -> Health:
        """Ask the engine whether it works.

        Raises:
            StoreError: If it does not.
        """
        return Health(self._engine.place, self.writable, len(self))

    def replace_graph(self, graph: ox.NamedNode, quads: Iterable[ox.Quad]) -> None:
        """Make the quads, and nothing else, the content of one graph, atomically."""
        self.replace_graphs({graph: quads})

    def replace_graphs(self, changes: Mapping[ox.NamedNode, Iterable[ox.Quad]]) -> None:
        """Replace several graphs in one transaction; a graph without quads is removed.

        Raises:
            ValueError: If a quad names another graph or has a blank node, which nobody can name.
            StoreError: If the store cannot be written.
        """
        self._require_writable()
        operations: list[str] = []
        changed: list[Change] = []
        for graph, quads in changes.items():
            new = _proven(graph, quads)
            if self._engine.local:
                old = set(self._engine.quads(None, None, graph))
                if old == new:
                    continue
                operations += _data("DELETE", graph, old - new)
                operations += _data("INSERT", graph, new - old)
                changed.append(Change(graph.value, old - new, new - old))
            else:
                operations += [f"DROP SILENT GRAPH {graph}", *_data("INSERT", graph, new)]
            if not new:
                operations.append(f"DROP SILENT GRAPH {graph}")
        if operations:
            self._engine.update(" ;\n".join(operations))
        if not self._engine.local:
            self._kept.clear()  # What was there before is not known.
        self._follow(changed)

    def extend(self, quads: Iterable[ox.Quad]) -> None:
        """Add quads to what is there, all of them or none.

        Raises:
            StoreError: If the store cannot be written.
        """
        self._require_writable()
        self._engine.extend(quads)
        self._kept.clear()

    def fill(self, source: Path | Iterable[ox.Quad]) -> None:
        """Add quads, or an N-Quads file, in bulk and not atomically: to a store not in use yet.

        Raises:
            FormatError: If the file is malformed, with line and column.
            StoreError: If the store cannot be written.
        """
        self._require_writable()
        self._engine.bulk(source)
        self._kept.clear()

    def update(self, text: str, *, base: str | None = None) -> None:
        """Run a SPARQL update: all of it or nothing.

        Args:
            base: What relative IRIs are taken from.

        Raises:
            FormatError: If the text is no update, or fetches something.
            StoreError: If the store cannot be written.
        """
        self._require_writable()
        check_update(text)
        self._engine.update(text, base=base)
        self._kept.clear()

    def backup(self, folder: Path) -> None:
        """Copy a store on disk to a new folder, as it is at one moment.

        Raises:
            StoreError: If the folder exists, or the store is in memory or far away.
        """
        self._engine.backup(folder)

    def kept(
        self,
        name: str,
        prefixes: Sequence[str],
        build: Callable[[], Built],
        follow: Callable[[Built, Change], bool] = lambda value, change: False,
    ) -> Built:
        """Return what `build` makes of the store, made anew only after a change of what it is from.

        Args:
            name: Of the value; one is kept for each.
            prefixes: Beginnings of the IRIs of the graphs that it is made from.
            follow: Brings a change of such a graph into the value; False if it cannot.
        """
        if name not in self._kept:
            self._kept[name] = _Kept(tuple(prefixes), build(), follow)
        found: Built = self._kept[name].value
        return found

    def query(
        self,
        text: str,
        values: Mapping[str, Term] | None = None,
        *,
        default: Sequence[str] | None = None,
        named: Sequence[str] | None = None,
        base: str | None = None,
    ) -> Results:
        """Run a SPARQL query over all graphs, with the prefixes of `terms.py` declared.

        Args:
            text: SELECT, ASK, CONSTRUCT or DESCRIBE.
            values: Terms to put in the place of variables, by name without question mark; the query
                must project each, and must use it outside OPTIONAL.
            default: IRIs of the graphs to ask instead of all.
            named: IRIs of the graphs that GRAPH may name, instead of all.
            base: What relative IRIs are taken from.

        Raises:
            FormatError: If the text is no query, with line and column, or asks another server.
            StoreError: If the store cannot be read.
        """
        check_query(text)
        return self._engine.query(text, values or {}, default=default, named=named, base=base)

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
        return self._engine.quads(None, None, graph)

    def describe(self, node: ox.NamedNode) -> Iterator[ox.Quad]:
        """Yield all quads about a thing, whatever graph they are in."""
        return self._engine.quads(node, None, None)

    def mentions(self, node: ox.NamedNode) -> Iterator[ox.Quad]:
        """Yield all quads that point to a thing."""
        return self._engine.quads(None, node, None)

    def canonical(self) -> ox.Dataset:
        """Return a copy of everything in canonical form, for comparison.

        Source: RDF Dataset Canonicalization (RDFC-1.0), W3C Recommendation 2024.
        """
        dataset = ox.Dataset(self.quads())
        dataset.canonicalize(ox.CanonicalizationAlgorithm.RDFC_1_0_SHA_256)
        return dataset

    def __len__(self) -> int:
        return self._engine.size()

    def _require_writable(self) -> None:
        if not self.writable:
            raise StoreError(f"{self._engine.place} is open for reading only")

    def _follow(self, changes: Iterable[Change]) -> None:
        for change in changes:
            for name, kept in list(self._kept.items()):
                concerned = change.graph.startswith(kept.prefixes)
                if concerned and not kept.follow(kept.value, change):
                    del self._kept[name]


def triples_of(results: Results) -> Triples:
    """Return the triples of a CONSTRUCT or DESCRIBE query.

    Raises:
        FormatError: If it was another form.
    """
    if isinstance(results, ox.QuerySolutions | ox.QueryBoolean):
        raise FormatError("query: found another form, expected CONSTRUCT or DESCRIBE")
    return results


def _data(verb: str, graph: ox.NamedNode, quads: set[ox.Quad]) -> list[str]:
    """Write quads as an operation; the serializer escapes every term, no text is pasted."""
    if not quads:
        return []
    triples = (quad.triple for quad in quads)
    text = (ox.serialize(triples, format=ox.RdfFormat.N_TRIPLES) or b"").decode()
    return [f"{verb} DATA {{ GRAPH {graph} {{\n{text}}} }}"]


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
