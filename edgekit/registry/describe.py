"""The projection of what boards, models, data sets and runs are: events to graphs.

Source: PROV-O (W3C Recommendation 2013) for who made what from what; ML-Schema (W3C Community Group
report 2016) for runs, their settings and evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyoxigraph as ox

from edgekit.journal.journal import Event
from edgekit.registry.facts import (
    PUBLISHED_RUN,
    Changes,
    Facts,
    Value,
    licence,
    number,
    quads,
    settings,
    shape_text,
    version_number,
)
from edgekit.registry.terms import graph, moment, thing

# The device class of what runs on every board, and other ways to say so.
PORTABLE = "portable"
_PORTABLE_WORDS = frozenset({None, "", "any", PORTABLE})
_FLOAT_BYTES = 4


def model_iri(image_id: str) -> ox.NamedNode:
    """Return the IRI of a model version by the id of its image in hex."""
    return thing("model", image_id)


def model_or_none(image_id: str | None) -> ox.NamedNode | None:
    """Return the IRI of a model version, None if there is none."""
    return None if image_id is None else model_iri(image_id)


def accuracy_of(value: Any, name: str) -> float | None:
    """Read a share that is either given alone, meaning the compiled model, or by name."""
    found = value.get(name) if isinstance(value, Mapping) else value if name == "int8" else None
    return number(found)


def board_changes(event: Event, blob: bytes | None) -> Changes:
    """Return the graphs of a board, its sensors among it, and of its chip."""
    body = event.body
    name = body["name"]
    chip = thing("chip", body["chip"])
    subject, where = thing("board", name), graph("board", name)
    rates: Mapping[str, float] = body.get("sensor_rates") or {}
    sensors = {kind: thing("board", name, "sensor", kind) for kind in body["sensors"]}
    facts: Facts = {
        "schema:name": name,
        "ek:chip": chip,
        "ek:clockHz": body["clock_hz"],
        "ek:ramBytes": body["ram_bytes"],
        "ek:flashBytes": body["flash_bytes"],
        "ek:ramFreeBytes": body.get("ram_free"),
        "ek:flashFreeBytes": body.get("flash_free"),
        "ek:slotBytes": body["slot_bytes"],
        "ek:arenaCapacityBytes": body["arena_bytes"],
        "ek:support": body["support"],
        "ek:sensorKind": body["sensors"],
        "ek:hasSensor": list(sensors.values()),
        "ek:connectivity": body.get("connectivity") or (),
        "ek:runtime": body.get("runtime"),
        "ek:runtimeVersion": body.get("runtime_version"),
        "ek:runtimeNumber": version_number(body.get("runtime_version")),
        "ek:kernelSetHash": body.get("kernel_set_hash"),
        "ek:kernelOperator": body.get("kernel_ops") or (),
    }
    found = [*quads(where, subject, "ek:Board", facts)]
    for kind, sensor in sensors.items():
        said: Facts = {"ek:sensorKind": kind, "ek:maxRateHz": number(rates.get(kind))}
        found += quads(where, sensor, "ek:Sensor", said)
    of_chip: Facts = {
        "schema:name": body["chip"],
        "ek:core": body["core"],
        "ek:isa": body.get("isa"),
        "ek:hasFpu": body["has_fpu"],
        "ek:hasDsp": body.get("has_dsp"),
        "ek:kernelFamily": body.get("kernel_family"),
    }
    return {
        where: tuple(found),
        graph("chip", body["chip"]): quads(graph("chip", body["chip"]), chip, "ek:Chip", of_chip),
    }


def model_changes(event: Event, blob: bytes | None) -> Changes:
    """Return the graphs of a model version, of its layers and of its device class."""
    body = event.body
    image = body["image_id"]
    subject = model_iri(image)
    device_class = body.get("device_class")
    if device_class in _PORTABLE_WORDS:
        device_class = PORTABLE
    where, layers = graph("model", image), graph("model", image, "layers")
    by_class = graph("model", image, "class", device_class)
    changes: Changes = {
        where: quads(where, subject, "ek:ModelVersion", _model_facts(body)),
        # One image may be registered for several device classes, by an event each.
        by_class: quads(by_class, subject, None, {"ek:deviceClass": device_class}),
    }
    if body.get("layers") is not None:
        changes[layers] = _layers(layers, subject, image, body["layers"])
    if body.get("metrics"):
        changes |= _evaluations(subject, image, body["metrics"], body.get("dataset"))
    return changes


def _model_facts(body: Mapping[str, Any]) -> Facts:
    head = 0
    if body["trainable"]:
        # The head learns in float32: weights [k, h] and bias [k].
        head = _FLOAT_BYTES * body["head_classes"] * (body["head_features"] + 1)
    accuracy = body.get("accuracy")
    run, training = body.get("run"), body.get("training")
    parent = body.get("derived_from")
    made_by = [
        thing("run", run) if run else None,
        thing("training", training) if training else None,
    ]
    return {
        "schema:name": body["name"],
        "dcat:version": body["version"],
        "dcterms:identifier": body["image_id"],
        "dcat:byteSize": body["image_bytes"],
        "ek:arenaBytes": body["arena_bytes"],
        "ek:minRamBytes": body["arena_bytes"] + head,
        "ek:minFlashBytes": body["flash_bytes"],
        "ek:macs": body["macs"],
        "ek:requiresOperator": body["ops"],
        "ek:requiresSensorKind": body.get("sensors") or (),
        "ek:inputRateHz": number(body.get("input_rate_hz")),
        "ek:inputShape": shape_text(body.get("input_shape")),
        "ek:inputType": body.get("input_type"),
        "ek:outputShape": shape_text(body.get("output_shape")),
        "ek:minRuntimeVersion": body.get("min_runtime"),
        "ek:minRuntimeNumber": version_number(body.get("min_runtime")),
        "ek:kernelFamily": body.get("kernel_family"),
        "ek:fused": body.get("fused"),
        "ek:opset": body.get("opset"),
        "ek:weightBytes": body.get("weight_bytes"),
        "ek:weightsSha256": body.get("weights_sha256"),
        "ek:task": body["task"] or None,
        "ek:outputLabel": body["labels"],
        "ek:quantization": body["quantization"] or None,
        "ek:accuracyFloat": accuracy_of(accuracy, "float"),
        "ek:accuracyInt8": accuracy_of(accuracy, "int8"),
        "ek:trainable": body["trainable"],
        "ek:headInputDim": body.get("head_features"),
        "ek:headOutputDim": body.get("head_classes"),
        "dcterms:license": licence(body["license"]),
        "ek:dataLicense": licence(body["data_license"]),
        "prov:wasDerivedFrom": None if parent is None else model_iri(parent),
        "prov:wasGeneratedBy": made_by,
    }


def _layers(
    where: ox.NamedNode, subject: ox.NamedNode, image: str, layers: list[Mapping[str, Any]]
) -> tuple[ox.Quad, ...]:
    found: list[ox.Quad] = []
    for index, layer in enumerate(layers):
        node = thing("model", image, "layer", index)
        facts: Facts = {
            "ek:ofModel": subject,
            "ek:layerIndex": index,
            "schema:name": layer["name"],
            "ek:operator": layer["op"],
            "ek:macs": int(layer["macs"]),
            "ek:outputShape": shape_text(layer.get("shape")),
            "ek:weightBytes": layer.get("weight_bytes"),
        }
        found += quads(where, subject, None, {"ek:hasLayer": node})
        found += quads(where, node, "ek:Layer", facts)
    return tuple(found)


def _evaluations(
    subject: ox.NamedNode, image: str, metrics: Mapping[str, Any], dataset: str | None
) -> Changes:
    changes: Changes = {}
    for name, value in metrics.items():
        node = thing("model", image, "evaluation", name)
        where = graph("model", image, "evaluation", name)
        facts: Facts = {
            "ek:ofModel": subject,
            "ek:measure": name,
            "ek:measuredValue": float(value),
            "ek:onDataset": thing("dataset", dataset) if dataset else None,
        }
        changes[where] = quads(where, node, "ek:Evaluation", facts)
    return changes


def dataset_changes(event: Event, blob: bytes | None) -> Changes:
    """Return the graph of a data set."""
    body = event.body
    where = graph("dataset", body["name"])
    facts: Facts = {
        "schema:name": body["name"],
        "dcat:version": body.get("version") or None,
        "dcterms:license": licence(body.get("license")),
        "dcterms:source": body.get("source") or None,
        "ek:task": body.get("task") or None,
        "ek:rowCount": body.get("rows"),
        "ek:classCount": body.get("classes"),
        "ek:sensorKind": body.get("sensors") or (),
        "ek:site": body.get("sites") or (),
        "ek:sha256": body.get("sha256"),
    }
    return {where: quads(where, thing("dataset", body["name"]), "ek:Dataset", facts)}


def training_changes(event: Event, blob: bytes | None) -> Changes:
    """Return the graph of a training run, with a setting of each hyper-parameter."""
    body = event.body
    run = body["run"]
    where, subject = graph("training", run), thing("training", run)
    data: list[Value] = [thing("dataset", name) for name in body["datasets"]]
    base, image = body.get("base_image"), body.get("image_id")
    nodes, said = settings(where, ("training", run), body.get("settings") or {})
    used = [*data, None if base is None else model_iri(base)]
    facts: Facts = {
        "dcterms:identifier": run,
        "prov:used": used,
        "rdf:type": PUBLISHED_RUN,
        "mls:hasInput": [*data, *nodes],
        "mls:hasOutput": None if image is None else model_iri(image),
        "ek:task": body.get("task") or None,
        "ek:seed": body.get("seed"),
        "ek:software": body.get("software"),
        "prov:startedAtTime": moment(body["started_ms"]) if body.get("started_ms") else None,
        "prov:endedAtTime": moment(event.time_ms),
    }
    return {where: (*quads(where, subject, "ek:TrainingRun", facts), *said)}


def benchmark_changes(event: Event, blob: bytes | None) -> Changes:
    """Return the graph of what a model version costs on a board, by who measured it."""
    body = event.body
    names = (body["image_id"], body["board"], body["measured_by"])
    where = graph("benchmark", *names)
    facts: Facts = {
        "ek:ofModel": model_iri(body["image_id"]),
        "ek:onBoard": thing("board", body["board"]),
        "ek:latencyMicros": body.get("latency_us"),
        "ek:energyMicroJ": body.get("energy_uj"),
        "ek:peakRamBytes": body.get("peak_ram_bytes"),
        "ek:instructions": body.get("instructions"),
        "ek:measuredBy": body["measured_by"],
        "ek:toolVersion": body.get("tool_version"),
        "dcterms:created": moment(event.time_ms),
    }
    return {where: quads(where, thing("benchmark", *names), "ek:Benchmark", facts)}
