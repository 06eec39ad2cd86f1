"""Facts about one subject as quads: the notation in which the projections are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyoxigraph as ox

from edgekit.journal.journal import Event
from edgekit.registry.terms import SPDX_LICENSES, TYPE, term, thing

Changes = dict[ox.NamedNode, tuple[ox.Quad, ...]]
Value = ox.NamedNode | ox.Literal | str | int | float | None
Facts = Mapping[str, Value | Sequence[Value]]
Rule = Callable[[Event, bytes | None], Changes]
"""From an event and its bulk file to the graphs that it rewrites."""

_SPDX_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_VERSION = re.compile(r"(\d{1,6})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?(?![\d])")


PUBLISHED_RUN = (term("mls:Run"), term("prov:Activity"))
"""What ML-Schema and PROV-O call a run; said beside our own class, so that who knows only these
finds it without the ontology."""


def quads(
    where: ox.NamedNode, subject: ox.NamedNode, kind: str | None, facts: Facts
) -> tuple[ox.Quad, ...]:
    """Write facts about one subject; None, and an empty list, says nothing.

    Args:
        kind: Prefixed name of its class, None if another graph says it.
        facts: Prefixed name of a property to one value or several.
    """
    found = [ox.Quad(subject, TYPE, term(kind), where)] if kind else []
    for name, value in facts.items():
        for item in _values(value):
            node = item if isinstance(item, ox.NamedNode | ox.Literal) else ox.Literal(item)
            found.append(ox.Quad(subject, term(name), node, where))
    return tuple(found)


def one(where: ox.NamedNode, subject: ox.NamedNode, kind: str | None, facts: Facts) -> Changes:
    """Return one graph with facts about one subject; see `quads`."""
    return {where: quads(where, subject, kind, facts)}


def settings(
    where: ox.NamedNode, run: tuple[str, ...], values: Mapping[str, Any]
) -> tuple[list[Value], tuple[ox.Quad, ...]]:
    """Return the nodes of a run's hyper-parameters, and what is said of them.

    Args:
        run: Kind and name of the run.
        values: By name.
    """
    nodes: list[Value] = []
    found: list[ox.Quad] = []
    for name, value in values.items():
        node = thing(*run, "setting", name)
        said: Facts = {"mls:specifiedBy": thing("hyperparameter", name), "mls:hasValue": value}
        nodes.append(node)
        found += quads(where, node, "mls:HyperParameterSetting", said)
    return nodes, tuple(found)


def _values(
    value: Value | Sequence[Value],
) -> Iterator[ox.NamedNode | ox.Literal | str | int | float]:
    if value is None:
        return
    if isinstance(value, ox.NamedNode | ox.Literal | str | int | float):
        yield value
    else:
        yield from (item for item in value if item is not None)


def licence(text: str | None) -> ox.NamedNode | str | None:
    """Return a licence as the IRI of its SPDX identifier, as text if it is none.

    >>> licence("Apache-2.0").value
    'https://spdx.org/licenses/Apache-2.0'
    """
    if not text:
        return None
    return ox.NamedNode(SPDX_LICENSES + text) if _SPDX_ID.fullmatch(text) else text


def version_number(text: str | None) -> int | None:
    """Return a version as one number that compares as versions do; None if it is no version.

    >>> version_number("0.12.3"), version_number("1.2.0-rc1"), version_number("latest")
    (12003, 1002000, None)
    """
    found = _VERSION.match(text or "")
    if found is None:
        return None
    major, minor, patch = (int(part or 0) for part in found.groups())
    return major * 1_000_000 + minor * 1_000 + patch


def number(value: Any) -> float | None:
    """Return a number as float, None if there is none."""
    return None if value is None else float(value)


def shape_text(shape: Sequence[int] | None) -> str | None:
    """Return dimensions joined by x.

    >>> shape_text([1, 96, 96, 1])
    '1x96x96x1'
    """
    return "x".join(map(str, shape)) if shape else None
