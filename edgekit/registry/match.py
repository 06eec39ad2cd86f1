"""Matching: which models fit a board or device, which boards and devices a model; with reasons.

The rules are `rules.py`, the facts `tables.py`. What devices have in common is judged once: a fleet
of a hundred thousand devices has some thousands of configurations. `queries/board_reasons.rq` says
the same rules for boards in SPARQL, and a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyoxigraph as ox

from edgekit.errors import StoreError
from edgekit.registry import tables
from edgekit.registry.names import find, node, text
from edgekit.registry.rules import (
    ANY,
    UNMEASURED,
    Budget,
    Cost,
    Needs,
    Offers,
    Reason,
    fits,
    headroom,
    in_order,
    reasons,
)
from edgekit.registry.store import Store

RANKS = ("accuracy", "latency", "energy", "size")


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
        headroom: Bytes left of each memory, by the code of the reason that it would be.
        cost: Of one inference, where it was measured.
    """

    iri: str
    name: str
    reasons: tuple[Reason, ...]
    accuracy: float | None = None
    task: str = ""
    size_bytes: int = 0
    headroom: Mapping[str, int] = field(default_factory=dict)
    cost: Cost = UNMEASURED

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


def models_for_board(
    store: Store,
    board: str,
    *,
    task: str | None = None,
    budget: Budget = ANY,
    by: str = "accuracy",
) -> tuple[Match, ...]:
    """Judge every model version for a board; those that fit first, the best first.

    Args:
        board: Name or IRI.
        task: Only models of this task.
        by: What is best: one of RANKS.
    """
    offers = _board(store, find(store, board, "board").value)
    return _models(store, offers, (), task, budget, by)


def models_for_device(
    store: Store,
    device: str,
    *,
    task: str | None = None,
    budget: Budget = ANY,
    by: str = "accuracy",
) -> tuple[Match, ...]:
    """Judge every model version for a device: by its board, and by what it reported."""
    offers, own = _device(store, device)
    return _models(store, offers, own, task, budget, by)


def fitting_models(
    store: Store,
    *,
    board: str = "",
    device: str = "",
    task: str | None = None,
    budget: Budget = ANY,
) -> tuple[Match, ...]:
    """Return only the model versions that fit a board or a device, the most accurate first.

    The answer is that of `models_for_board` or `models_for_device`, faster: each model is looked at
    only up to its first reason.

    Args:
        board: Name or IRI; left out if a device is given.
        device: Id or IRI.
    """
    own: tuple[Reason, ...] = ()
    if device:
        offers, own = _device(store, device)
    else:
        offers = _board(store, find(store, board, "board").value)
    if own:
        return ()
    costs = tables.costs(store)
    found = []
    for needs in tables.models(store).values():
        if task is None or needs.task == task:
            cost = costs.get((needs.iri, offers.iri), UNMEASURED)
            if fits(needs, offers, budget, cost):
                found.append(_of_model(needs, offers, (), budget, cost))
    return _ranked(found, "accuracy")


def boards_for_model(
    store: Store, model: str, *, budget: Budget = ANY, by: str = "size"
) -> tuple[Match, ...]:
    """Judge every board for a model version; those that fit first, the smallest first."""
    needs = _model(store, model)
    costs = tables.costs(store)
    found = []
    for offers in tables.boards(store).values():
        cost = costs.get((needs.iri, offers.iri), UNMEASURED)
        match = Match(
            iri=offers.iri,
            name=offers.name,
            reasons=reasons(needs, offers, budget, cost),
            size_bytes=offers.ram_bytes,
            headroom=headroom(needs, offers, budget),
            cost=cost,
        )
        found.append((offers.flash_bytes, match))
    rank = _RANKS["size" if by == "accuracy" else by]
    found.sort(key=lambda pair: (not pair[1].fits, rank(pair[1]), pair[0], pair[1].name))
    return tuple(match for _, match in found)


def smallest_board(store: Store, model: str, *, budget: Budget = ANY) -> Match | None:
    """Return the board with the least RAM, then flash, that a model version fits; None if none."""
    best = boards_for_model(store, model, budget=budget)
    return best[0] if best and best[0].fits else None


def best_model(
    store: Store, task: str, board: str, *, budget: Budget = ANY, by: str = "accuracy"
) -> Match | None:
    """Return the best model version of a task that fits a board; None if none does."""
    best = models_for_board(store, board, task=task, budget=budget, by=by)
    return best[0] if best and best[0].fits else None


def devices_for_model(store: Store, model: str, *, budget: Budget = ANY) -> tuple[Match, ...]:
    """Judge every device for a model version; those that can run it first, then by id."""
    needs = _model(store, model)
    judged = _judged(store, needs, budget)
    found = []
    for row in store.named("judged_devices"):
        # A device that never reported is judged by its board alone.
        own = judged.get(_iri(row["configuration"])) or judged.get(_iri(row["board"]))
        if own is None:
            continue
        why, left, cost = own
        if row["revoked"] is not None:
            revoked = Reason("revoked", "a device of the fleet", text(row, "revoked"))
            why = (revoked, *why)
        found.append(
            Match(node(row, "device").value, text(row, "id"), why, headroom=left, cost=cost)
        )
    return tuple(sorted(found, key=lambda match: (not match.fits, match.name)))


def first_devices(
    store: Store, model: str, limit: int = 100, *, budget: Budget = ANY
) -> tuple[Match, ...]:
    """Return some devices that can run a model version, without judging the whole fleet."""
    needs = _model(store, model)
    found: list[Match] = []
    for group, offers, cost in _fitting_groups(store, needs, budget):
        left = headroom(needs, offers, budget)
        for iri, name in _members(store, group, group == offers.iri):
            found.append(Match(iri, name, (), headroom=left, cost=cost))
            if len(found) == limit:
                return tuple(found)
    return tuple(found)


def count_devices(store: Store, model: str, *, budget: Budget = ANY) -> int:
    """Return how many devices can run a model version."""
    needs = _model(store, model)
    counts = tables.groups(store)
    return sum(counts[group] for group, _, _ in _fitting_groups(store, needs, budget))


def _fitting_groups(
    store: Store, needs: Needs, budget: Budget
) -> Iterator[tuple[str, Offers, Cost]]:
    """Yield the configurations, and boards with silent devices, that a model fits."""
    counts, known = tables.groups(store), tables.boards(store)
    configurations = tables.configurations(store)
    costs = tables.costs(store)
    # The largest first: few groups make a page.
    for group in sorted(counts, key=lambda name: -counts[name]):
        offers = configurations.get(group) or known.get(group)
        if offers is not None:
            cost = costs.get((needs.iri, offers.iri), UNMEASURED)
            if fits(needs, offers, budget, cost):
                yield group, offers, cost


def _members(store: Store, group: str, silent: bool) -> Iterator[tuple[str, str]]:
    name, variable = (
        ("silent_devices", "board") if silent else ("devices_of_configuration", "configuration")
    )
    for row in store.named(name, {variable: ox.NamedNode(group)}):
        yield node(row, "device").value, text(row, "id")


def _judged(
    store: Store, needs: Needs, budget: Budget
) -> dict[str, tuple[tuple[Reason, ...], Mapping[str, int], Cost]]:
    costs = tables.costs(store)
    found: dict[str, tuple[tuple[Reason, ...], Mapping[str, int], Cost]] = {}
    for group, offers in {**tables.boards(store), **tables.configurations(store)}.items():
        cost = costs.get((needs.iri, offers.iri), UNMEASURED)
        why = reasons(needs, offers, budget, cost)
        found[group] = (why, headroom(needs, offers, budget), cost)
    return found


def _iri(term: object) -> str:
    return term.value if isinstance(term, ox.NamedNode) else ""


def _board(store: Store, iri: str) -> Offers:
    offers = tables.boards(store).get(iri)
    if offers is None:
        raise StoreError(f"registry knows no board <{iri}> with RAM and flash")
    return offers


def _model(store: Store, model: str) -> Needs:
    iri = find(store, model, "model").value
    needs = tables.models(store).get(iri)
    if needs is None:
        raise StoreError(f"registry knows no model version <{iri}> with size and RAM")
    return needs


def _device(store: Store, device: str) -> tuple[Offers, tuple[Reason, ...]]:
    """Return what a device offers, and what speaks against the device itself."""
    subject = find(store, device, "device")
    (row,) = store.named("judged_device", {"device": subject})
    found = tables.configurations(store).get(_iri(row["configuration"]))
    offers = found or _board(store, _iri(row["board"]))
    if row["revoked"] is None:
        return offers, ()
    return offers, (Reason("revoked", "a device of the fleet", text(row, "revoked")),)


def _models(
    store: Store,
    offers: Offers,
    common: tuple[Reason, ...],
    task: str | None,
    budget: Budget,
    by: str,
) -> tuple[Match, ...]:
    costs = tables.costs(store)
    found = []
    for needs in tables.models(store).values():
        if task is None or needs.task == task:
            cost = costs.get((needs.iri, offers.iri), UNMEASURED)
            why = in_order([*common, *reasons(needs, offers, budget, cost)])
            found.append(_of_model(needs, offers, why, budget, cost))
    return _ranked(found, by)


def _of_model(
    needs: Needs, offers: Offers, why: tuple[Reason, ...], budget: Budget, cost: Cost
) -> Match:
    return Match(
        iri=needs.iri,
        name=needs.title,
        reasons=why,
        accuracy=needs.accuracy,
        task=needs.task,
        size_bytes=needs.min_ram_bytes,
        headroom=headroom(needs, offers, budget),
        cost=cost,
    )


_UNKNOWN = float("inf")
_RANKS: dict[str, Callable[[Match], float]] = {
    "accuracy": lambda m: -(m.accuracy or 0.0),
    "latency": lambda m: _UNKNOWN if m.cost.latency_us is None else m.cost.latency_us,
    "energy": lambda m: _UNKNOWN if m.cost.energy_uj is None else m.cost.energy_uj,
    "size": lambda m: m.size_bytes,
}


def _ranked(found: Sequence[Match], by: str) -> tuple[Match, ...]:
    rank = _RANKS[by]

    def key(match: Match) -> tuple[bool, float, float, int, str, str]:
        accuracy = -(match.accuracy or 0.0)
        return not match.fits, rank(match), accuracy, match.size_bytes, match.name, match.iri

    return tuple(sorted(found, key=key))
