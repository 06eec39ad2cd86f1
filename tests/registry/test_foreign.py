"""Foreign documents: the ancestors' models and boards, and Thing Descriptions."""

from __future__ import annotations

import json

import pyoxigraph as ox
import pytest
from registry.inventory import BOARDS, MODELS, board_turtle, model_turtle

from edgekit.errors import EdgekitError, FormatError
from edgekit.registry import match, saved, tables
from edgekit.registry.documents import TURTLE, read_document
from edgekit.registry.foreign import with_flat_terms
from edgekit.registry.rules import Budget
from edgekit.registry.shacl import check
from edgekit.registry.store import Store
from edgekit.registry.terms import DOCUMENTS, term

PLANNED = Budget(planned=True)
TD_JSON = "application/td+json"


def flat(text: str, name: str, media_type: str = TURTLE) -> tuple[ox.Quad, ...]:
    graph = ox.NamedNode(DOCUMENTS + name)
    return with_flat_terms(tuple(read_document(text.encode(), media_type, graph=graph)), graph)


@pytest.fixture(scope="module")
def inventory() -> Store:
    store = Store.memory()
    for number, (name, *_) in enumerate(MODELS):
        store.replace_graph(ox.NamedNode(DOCUMENTS + name), flat(model_turtle(number), name))
    for number, (name, *_) in enumerate(BOARDS):
        store.replace_graph(ox.NamedNode(DOCUMENTS + name), flat(board_turtle(number), name))
    return store


def names(store: Store, query: str, column: str, **given: str) -> list[str]:
    found = saved.run(store, query, given)
    assert isinstance(found, ox.QuerySolutions)
    return [row[column].value for row in found]


def test_inventory_passes_the_shapes(inventory: Store) -> None:
    report = check(inventory.quads())
    assert report.violations == ()
    assert report.checked == len(MODELS) * 4 + len(BOARDS)


def test_inventory_is_read_to_the_byte(inventory: Store) -> None:
    models = {needs.name: needs for needs in tables.models(inventory).values()}
    assert len(models) == 23
    for name, ram, flash, _, accuracy, _, sensors in MODELS:
        needs = models[name]
        assert needs.arena_bytes == round(ram * 1000) and needs.image_bytes == round(flash * 1000)
        assert needs.sensors == {kind.lower() for kind in sensors}
        # An accuracy of 0 was nobody's measurement.
        assert needs.accuracy == (pytest.approx(accuracy / 100) if accuracy else None)
    boards = {offers.name: offers for offers in tables.boards(inventory).values()}
    for name, ram, flash, sensors in BOARDS:
        offers = boards[name]
        assert (offers.ram_free_bytes, offers.flash_free_bytes) == (ram * 1000, flash * 1000)
        assert set(offers.sensors) == {kind.lower() for kind in sensors}


def test_all_sensors_are_asked_for(inventory: Store) -> None:
    """The ancestors' query matched a board that had one of two sensors."""
    fusion = {name for name, *_, sensors in MODELS if len(sensors) == 2}
    fitting = set(names(inventory, "models-for-board", "name", board="pybadge"))
    assert fitting and not fitting & fusion
    assert fusion <= set(names(inventory, "models-for-board", "name", board="nano_33_ble"))


@pytest.mark.parametrize("board", [name for name, *_ in BOARDS])
def test_query_and_rules_agree(inventory: Store, board: str) -> None:
    rules = [
        m.name.removesuffix(" 1")
        for m in match.fitting_models(inventory, board=board, budget=PLANNED)
    ]
    assert sorted(names(inventory, "models-for-board", "name", board=board)) == sorted(rules)


def test_questions_of_the_ancestors(inventory: Store) -> None:
    found = names(
        inventory, "boards-with-sensors", "name",
        first="accelerometer", second="gyroscope", least_ram="121000", least_flash="610000",
    )  # fmt: skip
    assert found == ["nano_33_ble", "tinyml_kit"]
    # Two copies must fit, so that an update is safe; VWW-3 has no board here.
    assert names(inventory, "smallest-board", "board_name", model="Person_Detection") == [
        "tinyml_kit"
    ]
    assert names(inventory, "smallest-board", "board_name", model="MicroNet_VWW_3") == []
    assert names(inventory, "smallest-board", "board_name", model="DS_CNN_S")[0] == "tflm_kit"
    best = match.best_model(inventory, "classification", "nano_33_ble", budget=PLANNED)
    assert best is not None and best.name == "Snoring_Guardian 1"
    assert len(set(names(inventory, "search", "thing", word="speech"))) == 6


def test_first_reason_of_each_board(inventory: Store) -> None:
    found = match.boards_for_model(inventory, "Person_Detection", budget=PLANNED)
    first = {m.name: m.reasons[0].code for m in found if not m.fits}
    assert first == {
        "nano_33_ble": "sensor", "pybadge": "flash", "tflm_kit": "ram",
        "syntiant": "ram", "ssi_web": "ram", "ms200": "ram",
    }  # fmt: skip
    assert all(min(m.headroom.values()) >= 0 for m in found if m.fits)


TD = {
    "@context": ["https://www.w3.org/2022/wot/td/v1.1", {"saref": "https://saref.etsi.org/core/"}],
    "id": "urn:dev:lamp-1",
    "@type": ["Thing", "saref:Device"],
    "title": "Lamp",
    "securityDefinitions": {"basic_sc": {"scheme": "basic", "in": "header"}},
    "security": ["basic_sc"],
    "properties": {
        "status": {
            "type": "object",
            "readOnly": True,
            "properties": {"level": {"type": "integer", "minimum": 0, "maximum": 100}},
            "forms": [{"href": "mqtt://b.example/lamp", "op": "readproperty", "mqv:qos": 1}],
        }
    },
    "actions": {"toggle": {"forms": [{"href": "https://x.example/toggle"}]}},
}


def test_thing_description_has_the_shape_of_the_ontology() -> None:
    quads = flat(json.dumps(TD), "lamp", TD_JSON)
    assert check(quads).violations == ()
    said = {(q.predicate.value.rsplit("#")[-1], getattr(q.object, "value", "")) for q in quads}
    td = "https://www.w3.org/2019/wot/td#"
    js = "https://www.w3.org/2019/wot/json-schema#"
    assert ("hasOperationType", td + "readProperty") in said
    assert ("type", js + "ObjectSchema") in said and ("type", js + "IntegerSchema") in said
    assert ("propertyName", "level") in said and ("name", "status") in said
    assert sum(q.predicate.value == td + "hasPropertyAffordance" for q in quads) == 1
    assert quads == flat(json.dumps(TD), "lamp", TD_JSON)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": None}, "title: found nothing, expected at least 1"),
        ({"security": None}, "hasSecurityConfiguration: found nothing, expected at least 1"),
        ({"actions": {"toggle": {"forms": [{"op": "invokeaction"}]}}}, "hasTarget: found nothing"),
    ],
)
def test_incomplete_thing_description_is_refused(change: dict[str, object], message: str) -> None:
    document = {key: value for key, value in (TD | change).items() if value is not None}
    violations = check(flat(json.dumps(document), "lamp", TD_JSON)).violations
    assert violations and any(message in str(violation) for violation in violations)
    assert all(violation.rule for violation in violations)


@pytest.mark.parametrize(
    "text",
    ["{", "[]]", '{"@context": 5}', '{"@context": "https://x.org/", "id": "urn:a"}', "nul"],
)
def test_malformed_thing_description_is_one_clear_error(text: str) -> None:
    with pytest.raises(FormatError, match="document: ") as caught:
        flat(text, "lamp", TD_JSON)
    assert "\n" not in str(caught.value)


def test_document_without_foreign_terms_stays_as_it_is() -> None:
    graph = ox.NamedNode(DOCUMENTS + "x")
    quads = (ox.Quad(graph, term("rdfs:label"), ox.Literal("x"), graph),)
    assert with_flat_terms(quads, graph) == quads


def test_ill_typed_number_of_a_foreign_model_is_a_violation_or_left_out() -> None:
    text = model_turtle(1).replace("minValue 2.2", 'minValue "much"')
    violations = check(flat(text, "x")).violations
    assert any(v.path.endswith("minRamBytes") for v in violations)


def test_errors_are_ours() -> None:
    with pytest.raises(EdgekitError):
        flat("<a> <b>", "x")
