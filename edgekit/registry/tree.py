"""A thing of the registry as a tree: its facts, what it is part of, and the same of those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyoxigraph as ox

from edgekit.registry.store import Store
from edgekit.registry.terms import ID, TYPE, shorten, term

MAX_DEPTH = 3
_MOST_CHILDREN = 12
# Names of a thing, the best first.
_NAMES = (term("schema:name"), term("dcterms:identifier"), term("ek:sensorKind"))


@dataclass(slots=True)
class Branch:
    """One thing and what hangs on it.

    Attributes:
        iri: Of the thing.
        title: Its class and name.
        facts: Property to values that are no things, as text.
        branches: Property to things; properties that point here begin with `is`.
        more: Property to how many further things there are.
    """

    iri: str
    title: str
    facts: dict[str, list[str]] = field(default_factory=dict)
    branches: dict[str, list[Branch]] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)


def read_tree(store: Store, node: ox.NamedNode, depth: int = 2) -> Branch:
    """Return a thing with what it points to, down to a depth, and at the top what points to it."""
    return _read(store, node, min(depth, MAX_DEPTH), {node.value}, top=True)


def _read(store: Store, node: ox.NamedNode, depth: int, seen: set[str], *, top: bool) -> Branch:
    quads = sorted(store.describe(node), key=lambda quad: (quad.predicate.value, str(quad.object)))
    branch = Branch(node.value, _title(node, quads))
    links: list[tuple[str, ox.NamedNode]] = []
    for quad in quads:
        if quad.predicate == TYPE:
            continue
        name = shorten(quad.predicate.value)
        if isinstance(quad.object, ox.NamedNode) and quad.object.value.startswith(ID):
            links.append((name, quad.object))
        else:
            value = getattr(quad.object, "value", str(quad.object))
            values = branch.facts.setdefault(name, [])
            if value not in values:
                values.append(value)
    if top:
        links += sorted(_pointing(store, node), key=lambda pair: (pair[0], pair[1].value))
    for name, other in dict.fromkeys(links):
        known = branch.branches.setdefault(name, [])
        if len(known) == _MOST_CHILDREN:
            branch.more[name] = branch.more.get(name, 0) + 1
        elif depth == 0 or other.value in seen:
            known.append(Branch(other.value, shorten(other.value)))
        else:
            known.append(_read(store, other, depth - 1, seen | {other.value}, top=False))
    return branch


def _pointing(store: Store, node: ox.NamedNode) -> Iterator[tuple[str, ox.NamedNode]]:
    for quad in store.mentions(node):
        if isinstance(quad.subject, ox.NamedNode):
            yield f"is {shorten(quad.predicate.value)} of", quad.subject


def _title(node: ox.NamedNode, quads: list[ox.Quad]) -> str:
    types = [q.object for q in quads if q.predicate == TYPE]
    kinds = [shorten(node.value) for node in types if isinstance(node, ox.NamedNode)]
    kinds.sort(key=lambda name: not name.startswith("ek:"))  # our own class says most
    for wanted in _NAMES:
        for quad in quads:
            if quad.predicate == wanted:
                return " ".join([*kinds[:1], getattr(quad.object, "value", "")])
    return " ".join([*kinds[:1], shorten(node.value)])


def as_lines(branch: Branch) -> list[str]:
    """Draw the tree with lines."""
    return [branch.title, *_lines(branch, "")]


def _lines(branch: Branch, indent: str) -> Iterator[str]:
    entries: list[tuple[str, Branch | None]] = [
        (f"{name}  {', '.join(values)}", None) for name, values in branch.facts.items()
    ]
    for name, children in branch.branches.items():
        entries += [(f"{name}  {child.title}", child) for child in children]
        if name in branch.more:
            entries.append((f"{name}  and {branch.more[name]} more", None))
    for number, (text, child) in enumerate(entries):
        last = number == len(entries) - 1
        yield f"{indent}{'└─' if last else '├─'} {text}"
        if child is not None:
            yield from _lines(child, indent + ("   " if last else "│  "))
