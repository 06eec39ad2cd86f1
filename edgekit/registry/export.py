"""What leaves the registry: a Thing Description of a device, a bill of materials of a model.

Source: Web of Things Thing Description 1.1 (W3C Recommendation 2023); MQTT binding template (W3C
Group Note); CycloneDX 1.6 (ECMA-424), component type machine-learning-model and its model card.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pyoxigraph as ox

from edgekit import __version__
from edgekit.errors import EdgekitError
from edgekit.link.topics import Channel, topic
from edgekit.registry.names import find
from edgekit.registry.store import Store, query_text
from edgekit.registry.terms import EK, PREFIXES, SPDX_LICENSES, term

_TD_CONTEXT = "https://www.w3.org/2022/wot/td/v1.1"
_QUDT_UNIT = "http://qudt.org/vocab/unit/"
# Property of the state to (JSON type, unit of QUDT, words).
_STATE: dict[str, tuple[str, str, str]] = {
    "firmwareVersion": ("string", "", "Version of the firmware"),
    "reportedModel": ("string", "", "Image id of the active model"),
    "ramFreeBytes": ("integer", "BYTE", "Arena that the active model leaves free"),
    "slotFreeBytes": ("integer", "BYTE", "Size of the free model slot"),
    "uptimeSeconds": ("integer", "SEC", "Seconds since the boot"),
    "batteryMillivolts": ("integer", "MilliV", "Voltage of the battery"),
}
_CLASSES = {"classification": "supervised", "spotting": "supervised", "detection": "supervised"}


def facts(store: Store, node: ox.NamedNode) -> dict[str, list[str]]:
    """Return what the registry says of a thing: IRI of each property to its values as text."""
    found: dict[str, set[str]] = {}
    for quad in store.describe(node):
        value = getattr(quad.object, "value", str(quad.object))
        found.setdefault(quad.predicate.value, set()).add(value)
    return {key: sorted(values) for key, values in sorted(found.items())}


def as_turtle(store: Store, name: str) -> str:
    """Return all that is said of a thing, in whatever graph, as Turtle."""
    triples = {quad.triple for quad in store.describe(find(store, name))}
    form = ox.RdfFormat.TURTLE
    data = ox.serialize(sorted(triples, key=str), format=form, prefixes=PREFIXES)
    return (data or b"").decode().rstrip()


def thing_description(store: Store, device: str) -> dict[str, Any]:
    """Return the Thing Description 1.1 of a device, as JSON.

    The state is one retained MQTT document, encoded as PROTOCOL.md says; the properties are read
    from it.

    Args:
        device: Id or IRI.
    """
    node = find(store, device, "device")
    own = facts(store, node)
    name = _one(own, "dcterms:identifier") or node.value.rsplit("/", 1)[-1]
    shared: Mapping[str, list[str]] = {}
    configuration = _one(own, "ek:configuration")
    if configuration:
        shared = facts(store, ox.NamedNode(configuration))
    said = {**shared, **own}
    fleet = _one(own, "ek:fleet") or "default"
    reported = _topic(fleet, name)
    board = _one(said, "ek:board")
    extension: dict[str, Any] = {"ek:board": {"@id": board}} if board else {}
    description: dict[str, Any] = {
        "@context": [_TD_CONTEXT, {"ek": EK, "mqv": "https://www.w3.org/2019/wot/mqtt#"}],
        "@type": ["Thing"],
        "id": node.value,
        "title": name,
        "description": f"Device of fleet '{fleet}'" + _of_board(board),
        "securityDefinitions": {"device_key": {"scheme": "psk", "identity": name}},
        "security": ["device_key"],
        **extension,
        "properties": _properties(said, reported),
    }
    version = _one(said, "ek:firmwareVersion")
    if version:
        description["version"] = {"instance": version}
    created = _one(own, "dcterms:created")
    if created:
        description["created"] = created
    return description


def _of_board(board: str) -> str:
    return f" on board {board.rsplit('/', 1)[-1]}" if board else ""


def _topic(fleet: str, name: str) -> str:
    """Return where a device reports; nothing for one that was not named by edgekit."""
    try:
        return topic(fleet, name, Channel.REPORTED)
    except (EdgekitError, ValueError):
        return ""


def _properties(said: Mapping[str, list[str]], reported: str) -> dict[str, Any]:
    form: dict[str, Any] = {"href": "mqtt://localhost/", "contentType": "application/cbor"}
    if reported:
        form = {
            "href": "mqtt://localhost/" + quote(reported, safe="/"),
            "contentType": "application/cbor",
            "op": ["readproperty", "observeproperty"],
            "mqv:controlPacket": "subscribe",
            "mqv:filter": reported,
            "mqv:qos": "1",
            "mqv:retain": True,
        }
    found: dict[str, Any] = {}
    for name, (kind, unit, words) in _STATE.items():
        if term(f"ek:{name}").value not in said and name not in (
            "firmwareVersion",
            "uptimeSeconds",
        ):
            continue
        found[name] = {
            "title": words,
            "type": kind,
            "readOnly": True,
            "observable": True,
            **({"unit": _QUDT_UNIT + unit, "minimum": 0} if unit else {}),
            "forms": [form],
        }
    return found


def bill_of_materials(store: Store, model: str) -> dict[str, Any]:
    """Return the CycloneDX 1.6 bill of materials of a model version, with its model card, as JSON.

    Its serial number follows from the image id: the same model gives the same document.

    Args:
        model: Name, `name:version`, image id or IRI.
    """
    node = find(store, model, "model")
    own = facts(store, node)
    image = _one(own, "dcterms:identifier")
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": node.value,
        "name": _one(own, "schema:name") or node.value,
        "version": _one(own, "dcat:version"),
        "properties": _bom_properties(own),
        "modelCard": _model_card(store, node, own),
    }
    if image:
        component["hashes"] = [{"alg": "BLAKE2b-256", "content": image}]
    licence = _one(own, "dcterms:license")
    if licence:
        component["licenses"] = [_licence(licence)]
    datasets = _datasets(store, node)
    if datasets:
        component["modelCard"]["modelParameters"]["datasets"] = [
            {"ref": data["bom-ref"]} for data in datasets
        ]
    ancestors = [{"ref": value} for value in own.get(term("prov:wasDerivedFrom").value, [])]
    components = [component, *datasets, *(_ancestor(item["ref"]) for item in ancestors)]
    refs = [part["bom-ref"] for part in components[1:]]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, node.value)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "edgekit", "version": __version__}]
            }
        },
        "components": components,
        "dependencies": [{"ref": node.value, "dependsOn": refs}],
    }


def _licence(value: str) -> dict[str, Any]:
    name = value.removeprefix(SPDX_LICENSES)
    # As an expression any SPDX identifier is valid, also one that is younger than the schema.
    return {"license": {"name": name}} if name == value else {"expression": name}


def _ancestor(iri: str) -> dict[str, Any]:
    name = iri.rsplit("/", 1)[-1]
    return {"type": "machine-learning-model", "bom-ref": iri, "name": name}


def _datasets(store: Store, node: ox.NamedNode) -> list[dict[str, Any]]:
    found = []
    for row in store.select(query_text("lineage"), {"model": node}):
        kind, data = row["kind"], row["ancestor"]
        if kind != term("ek:Dataset") or not isinstance(data, ox.NamedNode):
            continue
        own = facts(store, data)
        part: dict[str, Any] = {
            "type": "data",
            "bom-ref": data.value,
            "name": _one(own, "schema:name") or data.value,
            "data": [{"type": "dataset", "name": _one(own, "schema:name") or data.value}],
        }
        if _one(own, "dcat:version"):
            part["version"] = _one(own, "dcat:version")
        if _one(own, "ek:sha256"):
            part["hashes"] = [{"alg": "SHA-256", "content": _one(own, "ek:sha256")}]
        if _one(own, "dcterms:license"):
            part["licenses"] = [_licence(_one(own, "dcterms:license"))]
        found.append(part)
    return found


def _bom_properties(own: Mapping[str, list[str]]) -> list[dict[str, str]]:
    names = (
        "arenaBytes", "minRamBytes", "minFlashBytes", "macs", "quantization", "inputRateHz",
        "requiresOperator", "requiresSensorKind", "deviceClass", "weightsSha256", "trainable",
    )  # fmt: skip
    return [
        {"name": f"edgekit:{name}", "value": value}
        for name in names
        for value in own.get(term(f"ek:{name}").value, [])
    ]


def _model_card(store: Store, node: ox.NamedNode, own: Mapping[str, list[str]]) -> dict[str, Any]:
    task = _one(own, "ek:task")
    parameters: dict[str, Any] = {
        "inputs": [{"format": _format(own, "ek:inputType", "ek:inputShape")}],
        "outputs": [{"format": _format(own, "ek:inputType", "ek:outputShape")}],
    }
    approach = next((kind for word, kind in _CLASSES.items() if word in task), "")
    if approach:
        parameters["approach"] = {"type": approach}
    if task:
        parameters["task"] = task
    metrics = [
        {"type": name, "value": value}
        for name, key in (
            ("accuracy", "ek:accuracyInt8"),
            ("accuracy before quantization", "ek:accuracyFloat"),
        )
        for value in own.get(term(key).value, [])
    ]
    for quad in store.mentions(node):
        if quad.predicate == term("ek:ofModel") and isinstance(quad.subject, ox.NamedNode):
            other = facts(store, quad.subject)
            if _one(other, "ek:measure"):
                metrics.append(
                    {"type": _one(other, "ek:measure"), "value": _one(other, "ek:measuredValue")}
                )
    card: dict[str, Any] = {"modelParameters": parameters}
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card


def _format(own: Mapping[str, list[str]], kind: str, shape: str) -> str:
    words = [_one(own, kind), _one(own, shape)]
    return " ".join(word for word in words if word) or "tensor"


def _one(found: Mapping[str, list[str]], name: str) -> str:
    values = found.get(term(name).value)
    return values[0] if values else ""
