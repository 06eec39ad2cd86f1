"""The projection of events about releases, rollouts and federated runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgekit.journal.journal import Event
from edgekit.registry.describe import accuracy_of, model_iri
from edgekit.registry.facts import (
    PUBLISHED_RUN,
    Changes,
    Facts,
    Rule,
    Value,
    number,
    one,
    quads,
    settings,
)
from edgekit.registry.terms import graph, moment, thing


def _devices(names: Iterable[str]) -> list[Value]:
    return [thing("device", name) for name in names]


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list | Mapping) else int(value)


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
    return one(graph("release", *names), thing("release", *names), "ek:Release", facts)


def _refused(event: Event, blob: bytes | None) -> Changes:
    image = event.body["image_id"]
    facts: Facts = {"ek:refusalReason": event.body["reason"], "ek:refusedAt": moment(event.time_ms)}
    return one(graph("model", image, "refusal"), model_iri(image), None, facts)


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
    return one(graph("rollout", rollout), thing("rollout", rollout), "ek:Rollout", facts)


def _rollout_wave(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    rollout = body["rollout"]
    facts: Facts = {"ek:currentWave": body["wave"], "ek:waveDevice": _devices(body["devices"])}
    return one(graph("rollout", rollout, "wave"), thing("rollout", rollout), None, facts)


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
    return one(graph("rollout", *names), thing("rollout", *names), "ek:RolloutResult", facts)


def _rollout_paused(event: Event, blob: bytes | None) -> Changes:
    rollout = event.body["rollout"]
    facts: Facts = {
        "ek:pausedAt": moment(event.time_ms),
        "ek:pauseReason": event.body["reason"],
    }
    return one(graph("rollout", rollout, "pause"), thing("rollout", rollout), None, facts)


def _rollout_resumed(event: Event, blob: bytes | None) -> Changes:
    return {graph("rollout", event.body["rollout"], "pause"): ()}


def _rollout_end(event: Event, blob: bytes | None) -> Changes:
    rollout = event.body["rollout"]
    facts: Facts = {
        "ek:rolloutState": event.kind.removeprefix("rollout."),
        "ek:endReason": event.body["reason"],
        "prov:endedAtTime": moment(event.time_ms),
    }
    ended = one(graph("rollout", rollout, "end"), thing("rollout", rollout), None, facts)
    return ended | {graph("rollout", rollout, "pause"): ()}


_OF_RUN = ("strategy", "rounds", "epochs", "rate", "decay", "deadline_s", "target", "min_updates")


def _run_opened(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    base, where = model_iri(body["base_image"]), graph("run", body["run"])
    chosen = {name: body[name] for name in _OF_RUN if body.get(name) is not None}
    chosen |= body.get("settings") or {}
    if body.get("select"):
        chosen["select"] = body["select"]
    nodes, said = settings(where, ("run", str(body["run"])), chosen)
    facts: Facts = {
        "rdf:type": PUBLISHED_RUN,
        "dcterms:identifier": str(body["run"]),
        "prov:used": base,
        "mls:hasInput": [base, *nodes],
        "ek:strategy": body["strategy"],
        "ek:plannedRounds": body["rounds"],
        "ek:localEpochs": body["epochs"],
        "ek:learningRate": float(body["rate"]),
        "ek:cohortDevice": _devices(body["devices"]),
        "ek:cohortSize": len(body["devices"]),
        "prov:startedAtTime": moment(event.time_ms),
    }
    return {where: (*quads(where, thing("run", body["run"]), "ek:FederatedRun", facts), *said)}


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
    return one(graph("run", *names), thing("run", *names), "ek:FederatedRound", facts)


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
    return one(graph("run", *names), thing("run", *names), "ek:FederatedUpdate", facts)


def _secure_answer(event: Event, blob: bytes | None) -> Changes:
    """Tell of an update what the server knows: that it came, or why it does not count."""
    body = event.body
    if body["accepted"] and body["phase"] != "masked":
        return {}
    names = (body["run"], "round", body["round"], "update", body["device"])
    facts: Facts = {
        "ek:ofRound": thing("run", body["run"], "round", body["round"]),
        "ek:ofDevice": thing("device", body["device"]),
        "ek:accepted": body["accepted"],
        "ek:rejectionReason": body.get("reason"),
        "dcterms:created": moment(event.time_ms),
    }
    return one(graph("run", *names), thing("run", *names), "ek:FederatedUpdate", facts)


def _secure_phase(event: Event, blob: bytes | None) -> Changes:
    return {}  # what a round came to is told when it closes


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
    return one(graph("run", *names, "end"), thing("run", *names), None, facts)


def _run_finished(event: Event, blob: bytes | None) -> Changes:
    body = event.body
    facts: Facts = {
        "ek:completedRounds": body["rounds"],
        "ek:headHash": body.get("head_hash"),
        "ek:endReason": body["reason"],
        "prov:endedAtTime": moment(event.time_ms),
    }
    return one(graph("run", body["run"], "end"), thing("run", body["run"]), None, facts)


FLEET_PROJECTIONS: dict[str, Rule] = {
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
    "federated.secure_answer": _secure_answer,
    "federated.secure_phase": _secure_phase,
    "federated.round_closed": _round_closed,
    "federated.finished": _run_finished,
}
