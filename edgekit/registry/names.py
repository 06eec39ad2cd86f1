"""What a name stands for: boards, devices, models and other things by what people call them."""

from __future__ import annotations

import pyoxigraph as ox

from edgekit.errors import StoreError
from edgekit.registry.store import Row, Store, Term
from edgekit.registry.terms import ID, shorten, thing

_LEAST_PREFIX = 8


def find(store: Store, name: str, kind: str = "") -> ox.NamedNode:
    """Return the IRI that a name stands for.

    Args:
        name: An IRI, a name, an id, `name:version` of a model, or the first 8 or more characters
            of an image id.
        kind: board, chip, device, model, dataset, training or run; anything if empty.

    Raises:
        StoreError: If nothing, or more than one thing, is called so.
    """
    what = kind or "thing"
    prefix = f"{ID}{kind}/" if kind else ID
    if name.startswith(("http://", "https://", "urn:")):
        try:
            node = ox.NamedNode(name)
        except ValueError as exc:
            raise StoreError(f"{name}: {exc}") from exc
        if next(store.describe(node), None) is None:
            raise StoreError(f"registry knows no {what} <{name}>")
        return node
    found = [node for node in _called(store, name, kind) if _is(node, prefix)]
    if not found:
        raise StoreError(f"registry knows no {what} '{name}'")
    if len(found) > 1:
        some = ", ".join(shorten(node.value) for node in found[:4])
        raise StoreError(f"'{name}' may be {len(found)} things ({some}); give the IRI or version")
    return found[0]


def _called(store: Store, name: str, kind: str) -> list[ox.NamedNode]:
    rows = list(store.named("names", {"name": ox.Literal(name)}))
    if not rows and ":" in name:
        model, version = name.rsplit(":", 1)
        values: dict[str, Term] = {"name": ox.Literal(model), "version": ox.Literal(version)}
        rows = list(store.named("versions", values))
    if not rows and len(name) >= _LEAST_PREFIX and kind in ("", "model"):
        start = thing("model", name).value
        rows = list(store.named("models"))
        return [node(row, "model") for row in rows if node(row, "model").value.startswith(start)]
    return [node(row, "thing") for row in rows]


def _is(found: ox.NamedNode, prefix: str) -> bool:
    """Whether a thing is of the kind; a foreign IRI may be of any."""
    return found.value.startswith(prefix) or not found.value.startswith(ID)


def text(row: Row, name: str) -> str:
    """Return the text of a value, empty if there is none."""
    found = row[name]
    return "" if found is None else found.value


def integer(row: Row, name: str) -> int | None:
    """Return a number of a row, None if there is none."""
    found = row[name]
    return None if found is None else int(float(found.value))


def real(row: Row, name: str) -> float | None:
    """Return a number of a row, None if there is none."""
    found = row[name]
    return None if found is None else float(found.value)


def node(row: Row, name: str) -> ox.NamedNode:
    """Return an IRI of a row.

    Raises:
        StoreError: If it is something else.
    """
    found = row[name]
    if not isinstance(found, ox.NamedNode):
        raise StoreError(f"registry: found {found} as {name}, expected an IRI")
    return found


def tail(row: Row, name: str) -> str:
    """Return the last part of an IRI: an image id, a board name."""
    return text(row, name).rsplit("/", 1)[-1]
