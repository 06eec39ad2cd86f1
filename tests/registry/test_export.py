"""What leaves the registry, held against the official schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyoxigraph as ox
import pytest

from edgekit import share
from edgekit.registry.documents import read_document
from edgekit.registry.export import bill_of_materials, thing_description
from edgekit.registry.shacl import check
from edgekit.registry.store import Store

if TYPE_CHECKING:
    from jsonschema import Draft7Validator  # takes seconds to import: only where it is used

DEVICES = ("d1", "d2", "d3", "d4", "d5", "d6")
MODELS = ("digits:1", "digits:2", "keywords:1", "fusion:1", "large:1")


@pytest.fixture(scope="module")
def td_schema() -> Draft7Validator:
    from jsonschema import Draft7Validator

    root = share.checkout()
    assert root is not None
    path = root / "build" / "third_party" / "wot" / "td-json-schema-validation.json"
    return Draft7Validator(json.loads(path.read_text()))


@pytest.mark.parametrize("device", DEVICES)
def test_thing_description_is_valid(fleet: Store, device: str, td_schema: Draft7Validator) -> None:
    description = thing_description(fleet, device)
    errors = [error.message for error in td_schema.iter_errors(description)]
    assert errors == []
    assert description["title"] == device
    # It can be read back, and says the same things in RDF.
    graph = ox.NamedNode("https://w3id.org/edgekit/graph/document/td")
    data = json.dumps(description).encode()
    quads = list(read_document(data, "application/td+json", graph=graph))
    assert check(quads, known=fleet.describe(ox.NamedNode(description["id"]))).violations == ()


def test_thing_description_says_how_to_read_the_state(fleet: Store) -> None:
    description = thing_description(fleet, "d1")
    assert description["version"] == {"instance": "0.1.0"}
    assert description["ek:board"] == {"@id": "https://w3id.org/edgekit/id/board/cam"}
    free = description["properties"]["ramFreeBytes"]
    assert free["unit"] == "http://qudt.org/vocab/unit/BYTE"
    assert free["forms"][0]["mqv:filter"] == "ek/1/demo/d1/reported"
    assert "batteryMillivolts" not in description["properties"]


def test_schema_refuses_a_broken_description(fleet: Store, td_schema: Draft7Validator) -> None:
    """So that the tests above mean something."""
    description = thing_description(fleet, "d1")
    for key in ("title", "security", "securityDefinitions", "@context"):
        broken = {name: value for name, value in description.items() if name != key}
        assert not td_schema.is_valid(broken), key


def valid_bom(document: dict[str, Any]) -> object:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))


@pytest.mark.parametrize("model", MODELS)
def test_bill_of_materials_is_valid(fleet: Store, model: str) -> None:
    document = bill_of_materials(fleet, model)
    assert valid_bom(document) is None
    assert document == bill_of_materials(fleet, model)


def test_bill_of_materials_tells_what_it_is_made_of(fleet: Store) -> None:
    document = bill_of_materials(fleet, "digits:2")
    model, data, base = document["components"]
    assert model["hashes"] == [{"alg": "BLAKE2b-256", "content": "02" * 32}]
    assert model["licenses"] == [{"expression": "Apache-2.0"}]
    assert model["modelCard"]["modelParameters"]["task"] == "image-classification"
    assert {"type": "accuracy", "value": "0.975"} in model["modelCard"]["quantitativeAnalysis"][
        "performanceMetrics"
    ]
    assert (data["type"], data["name"], data["licenses"]) == (
        "data", "digits", [{"expression": "CC-BY-4.0"}],
    )  # fmt: skip
    assert base["bom-ref"].endswith("01" * 32)
    assert document["dependencies"][0]["dependsOn"] == [data["bom-ref"], base["bom-ref"]]


def test_schema_refuses_a_broken_bill(fleet: Store) -> None:
    document = bill_of_materials(fleet, "digits:1")
    document["components"][0]["hashes"][0]["alg"] = "CRC-32"
    assert valid_bom(document) is not None
