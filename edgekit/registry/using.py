"""The dataset that a request names for an update, written into it as USING clauses.

Source: SPARQL 1.1 Protocol, 2.2.3 Specifying an RDF Dataset for Update Operations; SPARQL 1.1
Update, 3.1.3 (USING) and 3.1.3.3 (DELETE WHERE).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyoxigraph as ox

from edgekit.errors import FormatError
from edgekit.registry.bind import TOKENS


def with_dataset(text: str, default: Sequence[str], named: Sequence[str]) -> str:
    """Return an update whose patterns are matched in a dataset of these graphs.

    Args:
        default: IRIs of the graphs that are the default graph together.
        named: IRIs of the graphs that GRAPH may name.

    Raises:
        FormatError: If the update names a dataset itself, or a graph has no IRI.

    >>> with_dataset("DELETE WHERE { ?s ?p 1 }", ["urn:g"], [])
    'DELETE { ?s ?p 1 } USING <urn:g> WHERE { ?s ?p 1 }'
    """
    using = "".join(
        f"{word} {_node(iri)} "
        for word, some in (("USING", default), ("USING NAMED", named))
        for iri in some
    )
    pieces: list[str] = []
    at = depth = 0
    last = ""
    short: int | None = None  # where the pattern of a DELETE WHERE begins
    for match in TOKENS.finditer(text):
        if match["skip"] or match["name"]:
            continue
        word = match[0].upper()
        if word == "{":
            depth += 1
        elif word == "}":
            depth -= 1
            if depth == 0 and short is not None:
                pattern = text[short : match.end()].strip()
                pieces.append(f"{pattern} {using}WHERE {pattern}")
                at, short = match.end(), None
        elif depth == 0 and not text[: match.start()].endswith(":"):
            if word in ("USING", "WITH"):
                raise FormatError(f"update: found {word}, and the request names a dataset, too")
            if word == "WHERE" and last == "DELETE":
                pieces.append(text[at : match.start()])
                short = match.end()
            elif word == "WHERE":
                pieces += [text[at : match.start()], using]
                at = match.start()
        last = word
    return "".join([*pieces, text[at:]])


def _node(iri: str) -> ox.NamedNode:
    try:
        return ox.NamedNode(iri)
    except ValueError as exc:
        raise FormatError(f"graph '{iri:.200}': {exc}") from exc
