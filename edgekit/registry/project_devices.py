"""The projection of events about devices: each aspect of a device has a graph of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import pyoxigraph as ox

from edgekit.journal.journal import Event
from edgekit.link.messages import Manifest
from edgekit.registry.describe import model_or_none
from edgekit.registry.facts import Changes, Facts, Rule, one, quads, version_number
from edgekit.registry.terms import graph, moment, thing

Body = Mapping[str, Any]


def _device(aspect: str, facts: Callable[[Event], Facts]) -> Rule:
    """Return the rule for one aspect of a device."""

    def rule(event: Event, blob: bytes | None) -> Changes:
        device = event.body["device"]
        return one(graph("device", device, aspect), thing("device", device), None, facts(event))

    return rule


def _added(event: Event, blob: bytes | None) -> Changes:
    device = event.body["device"]
    facts: Facts = {
        "dcterms:identifier": device,
        "ek:board": thing("board", event.body["board"]),
        "ek:fleet": event.body["fleet"],
        "ek:site": event.body.get("site"),
        "dcterms:created": moment(event.time_ms),
    }
    # A device that is added anew has lost its key and is no longer revoked.
    empty: Changes = {graph("device", device, aspect): () for aspect in ("claim", "revocation")}
    return one(graph("device", device), thing("device", device), "ek:Device", facts) | empty


def _reported(event: Event, blob: bytes | None) -> Changes:
    """Describe what a device is, shared with all that are the same, and what it does.

    What is as it is on an idle device is not said, nor what is new in each report and asked by
    nobody, as uptime and boots: a fleet is a hundred thousand of them.
    """
    body = event.body
    update, learning = body["update"], body["federated"]
    run = learning.get("run") or None
    node, shared = configuration(body)
    facts: Facts = {
        "ek:configuration": node,
        "ek:lastSeen": moment(event.time_ms),
        "ek:batteryMillivolts": body.get("battery_mv"),
        "ek:releaseCounter": body["counter"] or None,
        "ek:appliedVersion": body["desired_version"] or None,
        "ek:updateState": _unless(update.get("state"), "idle"),
        "ek:updateStatus": update.get("status") or None,
        "ek:updateModel": model_or_none(update.get("image")),
        "ek:learningRun": run and thing("run", run),
        "ek:learningRound": run and learning.get("round"),
        "ek:learningState": _unless(learning.get("state"), "idle"),
        "ek:learningStatus": learning.get("status") or None,
        "ek:headHash": body.get("head_hash"),
    }
    device = body["device"]
    return shared | one(graph("device", device, "state"), thing("device", device), None, facts)


def configuration(body: Body) -> tuple[ox.NamedNode, Changes]:
    """Return the node of all devices that are the same for a model, and its graph.

    Its name is the hash of its facts, so its graph never changes and is written once.

    Args:
        body: Of a device's report.
    """
    firmware, kernels, image = body["firmware"], body["kernel_set_hash"], body.get("active_image")
    free = (body["ram_free"], body["slot_free"])
    sensors = sorted(body.get("sensors") or ())
    whole = json.dumps([body["board"], firmware, kernels, image, *free, sensors])
    name = blake2b(whole.encode(), digest_size=16).hexdigest()
    facts: Facts = {
        "ek:board": thing("board", body["board"]),
        "ek:firmwareVersion": firmware,
        "ek:runtimeNumber": version_number(firmware),
        "ek:kernelSetHash": kernels,
        "ek:reportedModel": model_or_none(image),
        "ek:ramFreeBytes": free[0],
        "ek:slotFreeBytes": free[1],
        "ek:sensorKind": sensors,
    }
    node = thing("configuration", name)
    return node, one(graph("configuration", name), node, "ek:Configuration", facts)


def telemetry(device: str, time_ms: int, values: Mapping[str, float]) -> Changes:
    """Return the graph of the last values of a device; what was before is a table, not here.

    Args:
        device: Id.
        time_ms: When they were measured, Unix milliseconds.
        values: By property, for example `temperature`, in base units.
    """
    where = graph("device", device, "telemetry")
    found: list[ox.Quad] = []
    for name, value in values.items():
        node = thing("device", device, "latest", name)
        facts: Facts = {
            "sosa:observedProperty": thing("property", name),
            "sosa:hasSimpleResult": float(value),
            "sosa:resultTime": moment(time_ms),
        }
        found += quads(where, thing("device", device), None, {"ek:latestObservation": node})
        found += quads(where, node, None, facts)
    return {where: tuple(found)}


def _unless(value: str | None, idle: str) -> str | None:
    return None if value == idle else value


def _desired(event: Event) -> Facts:
    manifest = event.body.get("manifest")
    image = None
    if manifest is not None:
        image = Manifest.decode(bytes.fromhex(manifest)).image_id.hex()
    return {"ek:desiredVersion": event.body["version"], "ek:desiredModel": model_or_none(image)}


DEVICE_PROJECTIONS: dict[str, Rule] = {
    "device.added": _added,
    # The token is a secret's name: it stays in the journal.
    "device.claimed": _device("claim", lambda event: {"ek:claimedAt": moment(event.time_ms)}),
    "device.presence": _device(
        "presence",
        lambda event: {
            "ek:presence": event.body["state"],
            "ek:presenceAt": moment(event.time_ms),
        },
    ),
    "device.reported": _reported,
    "device.desired": _device("desired", _desired),
    "device.revoked": _device(
        "revocation",
        lambda event: {
            "ek:revokedAt": moment(event.time_ms),
            "ek:revocationReason": event.body["reason"],
        },
    ),
}
