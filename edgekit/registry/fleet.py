"""Questions about the fleet: what runs where, who lags, who may learn, what comes from what."""

from __future__ import annotations

from dataclasses import dataclass

import pyoxigraph as ox

from edgekit.registry.names import find, node, tail, text
from edgekit.registry.store import Store, Term
from edgekit.registry.terms import moment, thing


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
            device=text(row, "id"),
            board=tail(row, "board"),
            presence=text(row, "presence"),
            last_seen=text(row, "last_seen"),
            firmware=text(row, "firmware"),
            model=tail(row, "reported"),
            name=f"{text(row, 'name')} {text(row, 'version')}".strip(),
        )
        for row in store.named("devices")
        if wanted is None or row["reported"] == wanted
    )


def carriers(store: Store, image_id: str) -> tuple[str, ...]:
    """Return the ids of the devices that carry an image, active or waiting, registered or not."""
    rows = store.named("carriers", {"model": thing("model", image_id)})
    return tuple(text(row, "id") for row in rows)


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
            device=text(row, "id"),
            desired=tail(row, "desired"),
            reported=tail(row, "reported"),
            update_state=text(row, "update_state"),
            update_status=int(text(row, "update_status") or 0),
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
            device=text(row, "id"),
            image_id=values["model"].value.rsplit("/", 1)[-1] if model else tail(row, "model"),
            head_hash=text(row, "head"),
        )
        for row in store.named("cohort", values)
    )


def not_seen(store: Store, since_ms: int) -> tuple[str, ...]:
    """Return the ids of devices that have not reported since a moment, or never."""
    rows = store.named("not_seen", {"since": moment(since_ms)})
    return tuple(text(row, "id") for row in rows)


def lineage(store: Store, model: str) -> tuple[str, ...]:
    """Return the IRIs of all that a model version was made from."""
    rows = store.named("lineage", {"model": find(store, model, "model")})
    return tuple(dict.fromkeys(node(row, "ancestor").value for row in rows))
