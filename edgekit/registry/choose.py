"""Devices chosen by a question: a saved query, a file *.rq, or SPARQL text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyoxigraph as ox

from edgekit.errors import FormatError
from edgekit.registry import saved
from edgekit.registry.store import Results, Store
from edgekit.registry.terms import ID, shorten

_DEVICE = f"{ID}device/"
_COLUMNS = ("device", "id")


def choose_devices(
    store: Store, question: str, *, known: Mapping[str, str], folder: Path
) -> tuple[str, ...]:
    """Return the ids of the devices that a question names, each once, sorted.

    Args:
        question: Name of a saved query with its values (`cohort since=1h`), a file *.rq, or SPARQL
            SELECT. The devices are in its column ?device, or their ids in ?id.
        known: Values of parameters that a saved query need not be given, by name.
        folder: Where the name of a file begins.

    Raises:
        FormatError: If the question cannot be read, or has no such column.
        StoreError: If a value of a saved query is nothing that the registry knows.
    """
    return tuple(sorted(set(_ids(_ask(store, question.strip(), known, folder)))))


def _ask(store: Store, question: str, known: Mapping[str, str], folder: Path) -> Results:
    if question.endswith(".rq"):
        return store.query(read_question(folder / question))
    if "{" in question:
        return store.query(question)
    name, *words = question.split()
    parameters = [parameter.name for parameter in saved.saved_query(name).parameters]
    values = {key: value for key, value in known.items() if key in parameters}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise FormatError(f"query '{name}': found '{word:.64}', expected NAME=VALUE")
        values[key] = value
    return saved.run(store, name, values)


def read_question(path: Path) -> str:
    """Read a file *.rq.

    Raises:
        FormatError: If it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except OSError as exc:
        raise FormatError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise FormatError(f"{path}: byte {exc.start} is not UTF-8") from exc


def _ids(results: Results) -> Iterable[str]:
    if not isinstance(results, ox.QuerySolutions):
        raise FormatError("query for devices: found another form, expected SELECT")
    names = [variable.value for variable in results.variables]
    column = next((name for name in _COLUMNS if name in names), None)
    if column is None:
        found = ", ".join(f"?{name}" for name in names)
        raise FormatError(f"query for devices has {found}, expected ?device or ?id among them")
    for row in results:
        term = row[column]
        if isinstance(term, ox.NamedNode):
            if not term.value.startswith(_DEVICE):
                raise FormatError(f"query for devices: {shorten(term.value)} is no device")
            yield term.value.removeprefix(_DEVICE)
        elif isinstance(term, ox.Literal):
            yield term.value
        else:
            raise FormatError(f"query for devices has a row without ?{column}")
