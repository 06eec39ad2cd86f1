"""Matching: what fits where, what runs where, and who may learn together; always with reasons.

The rules are SPARQL (`queries/*.rq`); this file binds their values, joins board and device, and
sorts. A model fits a board if `queries/board_reasons.rq` has no row for the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyoxigraph as ox

from edgekit.errors import StoreError
from edgekit.registry.store import Row, Store, Term, query_text
from edgekit.registry.terms import ID, moment, shorten, thing

# RAM that the agent takes beside arena and learning head: static data and stack, at most.
FIRMWARE_RAM_BYTES = 48 * 1024 + 16 * 1024
# Safety on top: a tenth, but at least so many bytes.
MARGIN_DIVISOR = 10
MARGIN_LEAST_BYTES = 2 * 1024

# Reasons in the order in which they are worth reading: the first one is the one to solve first.
_WORDS: dict[str, str] = {
    "revoked": "device was revoked at {found}",
    "device_class": "made for {needed}, found {found}",
    "support": "board is {found}, expected {needed}",
    "ram": "needs {needed} bytes of RAM with firmware and margin, board has {found}",
    "arena": "needs {needed} bytes of arena, board offers {found}",
    "ram_free": "needs {needed} bytes of arena, device has {found} for the next model",
    "slot": "image has {needed} bytes, a model slot {found}",
    "slot_free": "image has {needed} bytes, the free slot {found}",
    "flash": "needs {needed} bytes of flash, board has {found}",
    "kernels": "operators of the board are unknown: {found}, expected {needed}",
    "kernel_set": "board is described with kernel set {needed}, device reports {found}",
    "operator": "operator {needed} is {found}",
    "sensor": "sensor {needed} is {found}",
}
_ORDER = {code: number for number, code in enumerate(_WORDS)}

_BOARD_VALUES: dict[str, Term] = {
    "overhead": ox.Literal(FIRMWARE_RAM_BYTES),
    "margin_least": ox.Literal(MARGIN_LEAST_BYTES),
    "margin_divisor": ox.Literal(MARGIN_DIVISOR),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something does not fit.

    Attributes:
        code: Word for programs, for example `ram` or `operator`.
        needed: What the model asks for: a number of bytes, or a word.
        found: What there is.
    """

    code: str
    needed: int | str
    found: int | str

    def __str__(self) -> str:
        return _WORDS[self.code].format(needed=self.needed, found=self.found)


@dataclass(frozen=True, slots=True)
class Match:
    """One candidate and what speaks against it.

    Attributes:
        iri: The model version, board or device.
        name: Its name: `name version` of a model, the name of a board, the id of a device.
        reasons: Empty if it fits; the most telling first.
        accuracy: Of a model, 0 to 1, None if unknown or no model.
        task: Of a model.
        size_bytes: RAM of a board; least RAM of a model; 0 of a device.
    """

    iri: str
    name: str
    reasons: tuple[Reason, ...]
    accuracy: float | None = None
    task: str = ""
    size_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


def models_for_board(store: Store, board: str, *, task: str | None = None) -> tuple[Match, ...]:
    """Judge every model version for a board; those that fit first, the most accurate first.

    Args:
        board: Name or IRI.
        task: Only models of this task.
    """
    values = {"board": find(store, board, "board")}
    reasons = _reasons(store.named("board_reasons", _BOARD_VALUES | values), "model")
    return _models(store.named("models"), reasons, (), task)


def models_for_device(store: Store, device: str, *, task: str | None = None) -> tuple[Match, ...]:
    """Judge every model version for a device: by its board, and by what it reported."""
    node = find(store, device, "device")
    row = next(store.named("devices", {"device": node}))
    reasons = _reasons(
        store.named("board_reasons", _BOARD_VALUES | {"board": _node(row, "board")}), "model"
    )
    own: list[Reason] = []
    for found in store.named("device_reasons", {"device": node}):
        if found["model"] is None:
            own.append(_reason(found))
        else:
            reasons[_node(found, "model").value].append(_reason(found))
    return _models(store.named("models"), reasons, own, task)


def fitting_models(
    store: Store, *, board: str = "", device: str = "", task: str | None = None
) -> tuple[Match, ...]:
    """Return only the model versions that fit a board or a device, the most accurate first.

    The answer is that of `models_for_board` or `models_for_device` without reasons, several times
    faster: the store stops at the first reason of each model.

    Args:
        board: Name or IRI; left out if a device is given.
        device: Id or IRI.
    """
    values = dict(_BOARD_VALUES)
    rules = ["board_reasons"]
    if device:
        node = find(store, device, "device")
        values["device"] = node
        values["board"] = _node(next(store.named("devices", {"device": node})), "board")
        rules.append("device_reasons")
    else:
        values["board"] = find(store, board, "board")
    refused = "".join(f" FILTER NOT EXISTS {{{_pattern(rule)}}}" for rule in rules)
    names = " ".join(f"?{name}" for name in values)
    facts = "?model ?name ?version ?task ?bytes ?min_ram ?accuracy"
    text = f"SELECT {facts} {names} WHERE {{{_pattern('models')}{refused} }}"
    return _models(store.select(text, values), {}, (), task)


def _pattern(name: str) -> str:
    """Return what a query that comes with edgekit asks for: the inside of its WHERE."""
    text = query_text(name)
    return text[text.index("WHERE {") + len("WHERE {") : text.rindex("}")]


def boards_for_model(store: Store, model: str) -> tuple[Match, ...]:
    """Judge every board for a model version; those that fit first, the smallest first."""
    values = {"model": find(store, model, "model")}
    reasons = _reasons(store.named("board_reasons", _BOARD_VALUES | values), "board")
    found = [
        (
            _integer(row, "flash"),
            Match(
                iri=_node(row, "board").value,
                name=_text(row, "name"),
                reasons=_sorted(reasons[_node(row, "board").value]),
                size_bytes=_integer(row, "ram"),
            ),
        )
        for row in store.named("boards")
    ]
    found.sort(key=lambda pair: (not pair[1].fits, pair[1].size_bytes, pair[0], pair[1].name))
    return tuple(match for _, match in found)


def smallest_board(store: Store, model: str) -> Match | None:
    """Return the board with the least RAM, then flash, that a model version fits; None if none."""
    best = boards_for_model(store, model)
    return best[0] if best and best[0].fits else None


def devices_for_model(store: Store, model: str) -> tuple[Match, ...]:
    """Judge every device for a model version; those that can run it first, then by id."""
    node = find(store, model, "model")
    values: dict[str, Term] = {"model": node}
    boards = _reasons(store.named("board_reasons", _BOARD_VALUES | values), "board")
    own = _reasons(store.named("device_reasons", values), "device")
    found = [
        Match(
            iri=_node(row, "device").value,
            name=_text(row, "id"),
            reasons=_sorted(
                boards.get(_node(row, "board").value, []) + own.get(_node(row, "device").value, [])
            ),
        )
        for row in store.named("devices")
    ]
    return tuple(sorted(found, key=lambda match: (not match.fits, match.name)))


@dataclass(frozen=True, slots=True)
class Placement:
    """A device and what is on it, as it last reported.

    Attributes:
        model: Image id of the active model in hex, empty if it has none.
        name: Name and version of the active model, empty if it is not registered.
    """

    device: str
    board: str
    presence: str
    last_seen: str
    firmware: str
    model: str
    name: str


def placements(store: Store, *, model: str | None = None) -> tuple[Placement, ...]:
    """Say what runs where, for all devices or those on which one model version is active."""
    wanted = None if model is None else find(store, model, "model")
    return tuple(
        Placement(
            device=_text(row, "id"),
            board=_tail(row, "board"),
            presence=_text(row, "presence"),
            last_seen=_text(row, "last_seen"),
            firmware=_text(row, "firmware"),
            model=_tail(row, "reported"),
            name=f"{_text(row, 'name')} {_text(row, 'version')}".strip(),
        )
        for row in store.named("devices")
        if wanted is None or row["reported"] == wanted
    )


def carriers(store: Store, image_id: str) -> tuple[str, ...]:
    """Return the ids of the devices that carry an image, active or waiting, registered or not."""
    rows = store.named("carriers", {"model": thing("model", image_id)})
    return tuple(_text(row, "id") for row in rows)


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """A device whose active model is not the desired one; image ids in hex, empty if none."""

    device: str
    desired: str
    reported: str
    update_state: str
    update_status: int


def out_of_step(store: Store) -> tuple[OutOfStep, ...]:
    """Return the devices whose active model is not the desired one."""
    return tuple(
        OutOfStep(
            device=_text(row, "id"),
            desired=_tail(row, "desired"),
            reported=_tail(row, "reported"),
            update_state=_text(row, "update_state"),
            update_status=int(_text(row, "update_status") or 0),
        )
        for row in store.named("out_of_step")
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that may join a federated round, its base image and the hash of its head in hex."""

    device: str
    image_id: str
    head_hash: str


def cohort(
    store: Store, *, features: int, classes: int, since_ms: int = 0, model: str | None = None
) -> tuple[Candidate, ...]:
    """Return who may join a federated round, by device id.

    Args:
        features: Inputs of the head.
        classes: Outputs of the head.
        since_ms: Only devices that reported since, Unix milliseconds.
        model: Only devices on which this model version is active.
    """
    values: dict[str, Term] = {
        "features": ox.Literal(features),
        "classes": ox.Literal(classes),
        "since": moment(since_ms),
    }
    if model is not None:
        values["model"] = find(store, model, "model")
    return tuple(
        Candidate(
            device=_text(row, "id"),
            image_id=values["model"].value.rsplit("/", 1)[-1] if model else _tail(row, "model"),
            head_hash=_text(row, "head"),
        )
        for row in store.named("cohort", values)
    )


def not_seen(store: Store, since_ms: int) -> tuple[str, ...]:
    """Return the ids of devices that have not reported since a moment, or never."""
    rows = store.named("not_seen", {"since": moment(since_ms)})
    return tuple(_text(row, "id") for row in rows)


def lineage(store: Store, model: str) -> tuple[str, ...]:
    """Return the IRIs of all that a model version was made from."""
    rows = store.named("lineage", {"model": find(store, model, "model")})
    return tuple(dict.fromkeys(_node(row, "ancestor").value for row in rows))


def find(store: Store, name: str, kind: str = "") -> ox.NamedNode:
    """Return the IRI that a name stands for.

    Args:
        name: An IRI, a name, an id, `name:version` of a model, or the first 8 or more characters
            of an image id.
        kind: board, chip, device, model or run; anything if empty.

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
    rows = list(store.named("names", {"name": ox.Literal(name)}))
    if not rows and ":" in name:
        model, version = name.rsplit(":", 1)
        values: dict[str, Term] = {"name": ox.Literal(model), "version": ox.Literal(version)}
        rows = list(store.named("versions", values))
    if not rows and len(name) >= 8 and kind in ("", "model"):
        start = thing("model", name).value
        rows = [row for row in store.named("models") if _node(row, "model").value.startswith(start)]
        rows = [{"thing": row["model"]} for row in rows]
    found = [node for node in (_node(row, "thing") for row in rows) if _is(node, prefix)]
    if not found:
        raise StoreError(f"registry knows no {what} '{name}'")
    if len(found) > 1:
        some = ", ".join(shorten(node.value) for node in found[:4])
        raise StoreError(f"'{name}' may be {len(found)} things ({some}); give the IRI or version")
    return found[0]


def _is(node: ox.NamedNode, prefix: str) -> bool:
    """Whether a thing is of the kind; a foreign IRI may be of any."""
    return node.value.startswith(prefix) or not node.value.startswith(ID)


def _models(
    rows: Iterable[Row],
    reasons: Mapping[str, list[Reason]],
    common: Iterable[Reason],
    task: str | None,
) -> tuple[Match, ...]:
    shared = list(common)
    found = []
    for row in rows:
        if task is not None and _text(row, "task") != task:
            continue
        iri = _node(row, "model").value
        accuracy = _text(row, "accuracy")
        found.append(
            Match(
                iri=iri,
                name=f"{_text(row, 'name')} {_text(row, 'version')}",
                reasons=_sorted(shared + reasons.get(iri, [])),
                accuracy=float(accuracy) if accuracy else None,
                task=_text(row, "task"),
                size_bytes=_integer(row, "min_ram"),
            )
        )
    found.sort(key=lambda m: (not m.fits, -(m.accuracy or 0.0), m.size_bytes, m.name, m.iri))
    return tuple(found)


def _reasons(rows: Iterable[Row], key: str) -> defaultdict[str, list[Reason]]:
    found: defaultdict[str, list[Reason]] = defaultdict(list)
    for row in rows:
        found[_node(row, key).value].append(_reason(row))
    return found


def _reason(row: Row) -> Reason:
    return Reason(_text(row, "code"), _bytes_or_word(row, "needed"), _bytes_or_word(row, "found"))


def _sorted(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(sorted(reasons, key=lambda reason: (_ORDER[reason.code], str(reason.needed))))


def _bytes_or_word(row: Row, name: str) -> int | str:
    node = row[name]
    if isinstance(node, ox.Literal) and node.datatype.value.endswith("#integer"):
        return int(node.value)
    return _text(row, name)


def _text(row: Row, name: str) -> str:
    node = row[name]
    return "" if node is None else node.value


def _integer(row: Row, name: str) -> int:
    return int(_text(row, name))


def _node(row: Row, name: str) -> ox.NamedNode:
    node = row[name]
    if not isinstance(node, ox.NamedNode):
        raise StoreError(f"registry: found {node} as {name}, expected an IRI")
    return node


def _tail(row: Row, name: str) -> str:
    """Return the last part of an IRI: an image id, a board name."""
    return _text(row, name).rsplit("/", 1)[-1]
