"""What models need and boards offer, read from the store once and kept until that changes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import pyoxigraph as ox

from edgekit.registry.names import integer, node, real, text
from edgekit.registry.rules import Cost, Needs, Offers
from edgekit.registry.store import Change, Store
from edgekit.registry.terms import DOCUMENTS, GRAPH, SPDX_LICENSES, TYPE, term

_MODELS = (GRAPH + "model/", DOCUMENTS)
_BOARDS = (GRAPH + "board/", DOCUMENTS)
_CONFIGURATIONS = (GRAPH + "configuration/", *_MODELS, *_BOARDS)
_COSTS = (GRAPH + "benchmark/", DOCUMENTS)
_DEVICES = (GRAPH + "device/", DOCUMENTS)


def models(store: Store) -> dict[str, Needs]:
    """Return the needs of every model version, by IRI."""
    return store.kept("models", _MODELS, lambda: _read_models(store))


def boards(store: Store) -> dict[str, Offers]:
    """Return what every board offers, by IRI."""
    return store.kept("boards", _BOARDS, lambda: _read_boards(store))


def configurations(store: Store) -> dict[str, Offers]:
    """Return what the devices of every configuration offer, by its IRI; `iri` is the board's."""
    return store.kept("configurations", _CONFIGURATIONS, lambda: _read_configurations(store))


def costs(store: Store) -> dict[tuple[str, str], Cost]:
    """Return what an inference takes, by IRIs of model and board; the least of several counts."""
    return store.kept("costs", _COSTS, lambda: _read_costs(store))


def groups(store: Store) -> dict[str, int]:
    """Return how many devices, not revoked, have each configuration.

    A device that never reported counts under the IRI of its board.
    """
    return store.kept("groups", _DEVICES, lambda: _read_groups(store), _follow_groups).counts


def _read_models(store: Store) -> dict[str, Needs]:
    sets: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in store.named("model_sets"):
        sets[node(row, "model").value][text(row, "property")].add(text(row, "value"))
    found = {}
    for row in store.named("models"):
        iri = node(row, "model").value
        own = sets[iri]
        found[iri] = Needs(
            iri=iri,
            name=text(row, "name"),
            version=text(row, "version"),
            image_bytes=integer(row, "bytes") or 0,
            min_ram_bytes=integer(row, "min_ram") or 0,
            arena_bytes=integer(row, "arena"),
            min_flash_bytes=integer(row, "min_flash"),
            task=text(row, "task"),
            accuracy=real(row, "accuracy"),
            operators=frozenset(own[term("ek:requiresOperator").value]),
            sensors=frozenset(own[term("ek:requiresSensorKind").value]),
            device_classes=frozenset(own[term("ek:deviceClass").value]),
            rate_hz=real(row, "rate"),
            runtime_number=integer(row, "runtime_number"),
            runtime_version=text(row, "runtime"),
            license=text(row, "license").removeprefix(SPDX_LICENSES),
            data_license=text(row, "data_license").removeprefix(SPDX_LICENSES),
        )
    return found


def _read_boards(store: Store) -> dict[str, Offers]:
    operators: defaultdict[str, set[str]] = defaultdict(set)
    sensors: defaultdict[str, dict[str, float | None]] = defaultdict(dict)
    for row in store.named("board_sets"):
        iri, value = node(row, "board").value, text(row, "value")
        if row["property"] == term("ek:kernelOperator"):
            operators[iri].add(value)
        else:
            sensors[iri][value] = real(row, "rate")
    found = {}
    for row in store.named("boards"):
        iri = node(row, "board").value
        found[iri] = Offers(
            iri=iri,
            name=text(row, "name"),
            ram_bytes=integer(row, "ram") or 0,
            flash_bytes=integer(row, "flash") or 0,
            slot_bytes=integer(row, "slot") or 0,
            arena_bytes=integer(row, "arena") or 0,
            ram_free_bytes=integer(row, "ram_free"),
            flash_free_bytes=integer(row, "flash_free"),
            support=text(row, "support"),
            kernel_set=text(row, "kernel_set"),
            operators=frozenset(operators[iri]),
            sensors=sensors[iri],
            runtime_number=integer(row, "runtime_number"),
            runtime_version=text(row, "runtime"),
        )
    return found


def _read_configurations(store: Store) -> dict[str, Offers]:
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for row in store.named("configuration_sensors"):
        kinds[node(row, "configuration").value].add(text(row, "kind"))
    known = boards(store)
    found = {}
    for row in store.named("configurations"):
        iri = node(row, "configuration").value
        board = known.get(node(row, "board").value)
        if board is None:
            continue
        free = integer(row, "ram_free")
        # A device says which of its sensors work; how fast they are, the board's description says.
        said = kinds.get(iri)
        sensors = board.sensors if not said else {kind: board.sensors.get(kind) for kind in said}
        own = replace(
            board,
            sensors=sensors,
            reported_kernel_set=text(row, "kernel_set"),
            arena_free_bytes=None if free is None else free + (integer(row, "active_arena") or 0),
            slot_free_bytes=integer(row, "slot_free"),
        )
        number = integer(row, "runtime_number")
        if number is not None:
            own = replace(own, runtime_number=number, runtime_version=text(row, "runtime"))
        found[iri] = own
    return found


def _read_costs(store: Store) -> dict[tuple[str, str], Cost]:
    found: dict[tuple[str, str], Cost] = {}
    for row in store.named("benchmarks"):
        key = (node(row, "model").value, node(row, "board").value)
        known = found.get(key, Cost())
        found[key] = Cost(
            _least(known.latency_us, integer(row, "latency_us")),
            _least(known.energy_uj, integer(row, "energy_uj")),
        )
    return found


def _least(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


@dataclass(frozen=True, slots=True)
class _Groups:
    """Devices counted by configuration or board, and those that do not count."""

    counts: dict[str, int]
    revoked: frozenset[str]


def _read_groups(store: Store) -> _Groups:
    found = {
        node(row, "configuration").value: integer(row, "devices") or 0
        for row in store.named("configuration_counts")
    }
    # Who reports was added before: if as many have reported as there are, none is silent. To look
    # for the silent takes longer than all the rest.
    total = next(store.named("device_count"))
    if integer(total, "devices") != sum(found.values()):
        for row in store.named("silent_counts"):
            found[node(row, "board").value] = integer(row, "devices") or 0
    revoked = set()
    for row in store.named("revoked"):
        revoked.add(node(row, "device").value)
        key = row["configuration"] or row["board"]
        if isinstance(key, ox.NamedNode) and key.value in found:
            found[key.value] -= 1
    return _Groups(found, frozenset(revoked))


_COUNTED = frozenset(map(term, ("ek:configuration", "ek:board", "ek:revokedAt"))) | {TYPE}


def _follow_groups(groups: _Groups, change: Change) -> bool:
    """Count a device that has another configuration now; what else it says changes no count."""
    removed = [quad for quad in change.removed if quad.predicate in _COUNTED]
    added = [quad for quad in change.added if quad.predicate in _COUNTED]
    if not removed and not added:
        return True
    if len(removed) != 1 or len(added) != 1:
        return False
    (old,), (new,) = removed, added
    moved = old.subject == new.subject
    moved = moved and old.predicate == new.predicate == term("ek:configuration")
    if not moved or not isinstance(old.object, ox.NamedNode):
        return False
    if not isinstance(new.object, ox.NamedNode) or not isinstance(old.subject, ox.NamedNode):
        return False
    if old.subject.value not in groups.revoked:
        groups.counts[old.object.value] -= 1
        groups.counts[new.object.value] = groups.counts.get(new.object.value, 0) + 1
    return True
