"""The projection of the journal: a pure function from one event to the graphs that it rewrites.

Each aspect of a thing has a named graph of its own (a device: what it is, its presence, what it
reported, what is desired of it), and an event rewrites whole graphs only. So the state of a graph
is that of the last event about it, applying an event twice changes nothing, and no event needs to
know what was before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import pyoxigraph as ox

from edgekit.errors import EdgekitError, StoreError
from edgekit.journal.journal import Event
from edgekit.link.messages import Manifest
from edgekit.registry.describe import (
    accuracy_of,
    benchmark_changes,
    board_changes,
    dataset_changes,
    model_changes,
    model_iri,
    training_changes,
)
from edgekit.registry.documents import read_document
from edgekit.registry.facts import Changes, Facts, Value, number, quads, version_number
from edgekit.registry.foreign import with_flat_terms
from edgekit.registry.terms import (
    DOCUMENTS,
    GRAPH,
    JOURNAL,
    JOURNAL_GRAPH,
    graph,
    moment,
    thing,
)

Body = Mapping[str, Any]


def project(event: Event, blob: bytes | None = None) -> Changes:
    """Return the graphs that an event rewrites, with their whole new content.

    Args:
        event: From the journal, so its body fits its kind.
        blob: Bulk file of the event; read for `document.loaded` only.

    Raises:
        StoreError: If the event cannot be projected, with its number.
    """
    rule = PROJECTIONS.get(event.kind)
    if rule is None:
        return {}
    try:
        return rule(event, blob)
    except (EdgekitError, ValueError, KeyError, TypeError, OverflowError) as exc:
        raise StoreError(f"journal event {event.seq} ({event.kind}): {exc!s}") from exc


def position(seq: int) -> Changes:
    """Return the graph that says up to which event the store follows the journal."""
    facts: Facts = {"ek:projectedSequence": seq}
    return {JOURNAL_GRAPH: quads(JOURNAL_GRAPH, JOURNAL, "ek:Journal", facts)}


def _one(
    where: ox.NamedNode,
    subject: ox.NamedNode,
    kind: str | None,
    facts: Facts,
) -> Changes:
    return {where: quads(where, subject, kind, facts)}


def _model(image_id: str | None) -> ox.NamedNode | None:
    return None if image_id is None else model_iri(image_id)


def _devices(names: Iterable[str]) -> list[Value]:
    return [thing("device", name) for name in names]


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list | Mapping) else int(value)


def _device(aspect: str, facts: Callable[[Event], Facts]) -> Rule:
    """Return the rule for one aspect of a device."""

    def rule(event: Event, blob: bytes | None) -> Changes:
        device = event.body["device"]
        return _one(graph("device", device, aspect), thing("device", device), None, facts(event))

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
    return _one(graph("device", device), thing("device", device), "ek:Device", facts) | empty


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
        "ek:updateModel": _model(update.get("image")),
        "ek:learningRun": run and thing("run", run),
        "ek:learningRound": run and learning.get("round"),
        "ek:learningState": _unless(learning.get("state"), "idle"),
        "ek:learningStatus": learning.get("status") or None,
        "ek:headHash": body.get("head_hash"),
    }
    device = body["device"]
    return shared | _one(graph("device", device, "state"), thing("device", device), None, facts)


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
        "ek:reportedModel": _model(image),
        "ek:ramFreeBytes": free[0],
        "ek:slotFreeBytes": free[1],
        "ek:sensorKind": sensors,
    }
    node = thing("configuration", name)
    return node, _one(graph("configuration", name), node, "ek:Configuration", facts)


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
    return {"ek:desiredVersion": event.body["version"], "ek:desiredModel": _model(image)}


def _published(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    names = (body["image_id"], body["device_class"], body["counter"])
    facts: Facts = {
        "ek:releasedModel": model_iri(body["image_id"]),
        "schema:name": body["name"],
        "dcat:version": body["version"],
        "ek:releaseCounter": body["counter"],
        "ek:deviceClass": body["device_class"],
        "ek:accuracyInt8": accuracy_of(body.get("accuracy"), "int8"),
        "dcterms:created": moment(event.time_ms),
    }
    return _one(graph("release", *names), thing("release", *names), "ek:Release", facts)


def _refused(event: Event, blob: bytes | None) -> Changes:
    image = event.body["image_id"]
    facts: Facts = {"ek:refusalReason": event.body["reason"], "ek:refusedAt": moment(event.time_ms)}
    return _one(graph("model", image, "refusal"), model_iri(image), None, facts)


def _rollout_started(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    rollout = body["rollout"]
    facts: Facts = {
        "ek:targetModel": model_iri(body["image_id"]),
        "ek:releaseCounter": body["counter"],
        "ek:targetDevice": _devices(body["devices"]),
        "ek:waveCount": len(body["waves"]),
        "prov:startedAtTime": moment(event.time_ms),
    }
    return _one(graph("rollout", rollout), thing("rollout", rollout), "ek:Rollout", facts)


def _rollout_wave(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    rollout = body["rollout"]
    facts: Facts = {"ek:currentWave": body["wave"], "ek:waveDevice": _devices(body["devices"])}
    return _one(graph("rollout", rollout, "wave"), thing("rollout", rollout), None, facts)


def _rollout_device(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    names = (body["rollout"], "device", body["device"])
    facts: Facts = {
        "ek:ofRollout": thing("rollout", body["rollout"]),
        "ek:ofDevice": thing("device", body["device"]),
        "ek:result": body["result"],
        "ek:resultStatus": body["status"],
        "dcterms:created": moment(event.time_ms),
    }
    return _one(graph("rollout", *names), thing("rollout", *names), "ek:RolloutResult", facts)


def _rollout_paused(event: Event, blob: bytes | None) -> Changes:
    rollout = event.body["rollout"]
    facts: Facts = {
        "ek:pausedAt": moment(event.time_ms),
        "ek:pauseReason": event.body["reason"],
    }
    return _one(graph("rollout", rollout, "pause"), thing("rollout", rollout), None, facts)


def _rollout_resumed(event: Event, blob: bytes | None) -> Changes:
    return {graph("rollout", event.body["rollout"], "pause"): ()}


def _rollout_end(event: Event, blob: bytes | None) -> Changes:
    rollout = event.body["rollout"]
    facts: Facts = {
        "ek:rolloutState": event.kind.removeprefix("rollout."),
        "ek:endReason": event.body["reason"],
        "prov:endedAtTime": moment(event.time_ms),
    }
    ended = _one(graph("rollout", rollout, "end"), thing("rollout", rollout), None, facts)
    return ended | {graph("rollout", rollout, "pause"): ()}


def _run_opened(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    facts: Facts = {
        "dcterms:identifier": str(body["run"]),
        "prov:used": model_iri(body["base_image"]),
        "ek:strategy": body["strategy"],
        "ek:plannedRounds": body["rounds"],
        "ek:localEpochs": body["epochs"],
        "ek:learningRate": float(body["rate"]),
        "ek:cohortDevice": _devices(body["devices"]),
        "ek:cohortSize": len(body["devices"]),
        "prov:startedAtTime": moment(event.time_ms),
    }
    return _one(graph("run", body["run"]), thing("run", body["run"]), "ek:FederatedRun", facts)


def _round_opened(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    names = (body["run"], "round", body["round"])
    facts: Facts = {
        "ek:ofRun": thing("run", body["run"]),
        "ek:round": body["round"],
        "ek:baseHeadHash": body["base_hash"],
        "ek:cohortDevice": _devices(body["devices"]),
        "ek:cohortSize": len(body["devices"]),
        "ek:deadlineSeconds": float(body["deadline_s"]),
        "prov:startedAtTime": moment(event.time_ms),
    }
    return _one(graph("run", *names), thing("run", *names), "ek:FederatedRound", facts)


def _update(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    names = (body["run"], "round", body["round"], "update", body["device"])
    facts: Facts = {
        "ek:ofRound": thing("run", body["run"], "round", body["round"]),
        "ek:ofDevice": thing("device", body["device"]),
        "ek:sampleCount": body["samples"],
        "ek:accepted": body["accepted"],
        "ek:rejectionReason": body.get("reason"),
        "ek:lossFirst": number(body.get("loss_first")),
        "ek:lossLast": number(body.get("loss_last")),
        "dcterms:created": moment(event.time_ms),
    }
    return _one(graph("run", *names), thing("run", *names), "ek:FederatedUpdate", facts)


def _round_closed(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    names = (body["run"], "round", body["round"])
    facts: Facts = {
        "ek:acceptedCount": _count(body["accepted"]),
        "ek:rejectedCount": _count(body["rejected"]),
        "ek:headHash": body["head_hash"],
        "ek:accuracyInt8": number(body.get("accuracy")),
        "prov:endedAtTime": moment(event.time_ms),
    }
    return _one(graph("run", *names, "end"), thing("run", *names), None, facts)


def _run_finished(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    facts: Facts = {
        "ek:completedRounds": body["rounds"],
        "ek:headHash": body.get("head_hash"),
        "ek:endReason": body["reason"],
        "prov:endedAtTime": moment(event.time_ms),
    }
    return _one(graph("run", body["run"], "end"), thing("run", body["run"]), None, facts)


def _document(event: Event, blob: bytes | None) -> Changes:
    if blob is None:
        raise ValueError("document is missing")
    where = ox.NamedNode(event.body["graph"])
    if where.value.startswith(GRAPH) and not where.value.startswith(DOCUMENTS):
        raise ValueError(f"document for graph {where}, expected one under <{DOCUMENTS}>")
    quads = tuple(read_document(blob, event.body["media_type"], graph=where))
    return {where: with_flat_terms(quads, where)}


Rule = Callable[[Event, bytes | None], Changes]

# Every kind of event of edgekit/journal/schema.py.
PROJECTIONS: dict[str, Rule] = {
    "board.described": board_changes,
    "model.registered": model_changes,
    "dataset.described": dataset_changes,
    "training.finished": training_changes,
    "benchmark.measured": benchmark_changes,
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
    "release.published": _published,
    "release.refused": _refused,
    "rollout.started": _rollout_started,
    "rollout.wave": _rollout_wave,
    "rollout.device": _rollout_device,
    "rollout.paused": _rollout_paused,
    "rollout.resumed": _rollout_resumed,
    "rollout.halted": _rollout_end,
    "rollout.finished": _rollout_end,
    "federated.opened": _run_opened,
    "federated.round_opened": _round_opened,
    "federated.update": _update,
    "federated.round_closed": _round_closed,
    "federated.finished": _run_finished,
    "document.loaded": _document,
}
