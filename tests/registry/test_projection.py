"""The projection of the journal: pure, repeatable, whole, and fit for the shapes."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyoxigraph as ox
import pytest
from registry.fleet_fixture import DIGITS_1, plain_events, reported, story, write_journal

from edgekit.errors import StoreError
from edgekit.journal.schema import KINDS
from edgekit.registry.project import PROJECTIONS, project
from edgekit.registry.project_devices import telemetry
from edgekit.registry.shacl import check, declared_terms
from edgekit.registry.store import Store
from edgekit.registry.sync import apply, catch_up, projected, rebuild
from edgekit.registry.terms import EK, GRAPH, thing


def test_every_kind_of_event_is_projected_and_in_the_story() -> None:
    assert set(PROJECTIONS) == set(KINDS)
    assert {kind for kind, *_ in story()} == set(KINDS)


def test_projection_passes_shacl_and_checks_every_class(fleet: Store) -> None:
    report = check(fleet.quads())
    assert report.violations == ()
    kinds = {q.object for q in fleet.quads() if q.predicate.value.endswith("#type")}
    declared = {iri for iri in declared_terms() if iri.removeprefix(EK)[0].isupper()}
    assert {kind.value for kind in kinds if kind.value.startswith(EK)} == declared


@pytest.mark.parametrize("seq", range(1, len(story()) + 1))
def test_projection_passes_shacl_after_each_event(seq: int) -> None:
    """Each prefix of the story is fit on its own: nobody sees a half-described thing."""
    store = Store.memory()
    for event, blob in plain_events()[:seq]:
        apply(store, event, blob)
    known = {q.subject for q in store.quads() if q.predicate.value.endswith("#type")}
    subjects = {q.subject for q in store.quads()}
    assert check(store.quads()).violations == ()
    assert known == {s for s in subjects if "/graph/document/" not in str(s)}


def test_project_is_pure() -> None:
    for event, blob in plain_events():
        assert project(event, blob) == project(event, blob)


def test_project_works_on_plain_objects() -> None:
    event: Any = SimpleNamespace(
        seq=1, time_ms=1, kind="device.reported", subject="d1", body=reported("d1", DIGITS_1)
    )
    shared, own = (graph.value for graph in project(event))
    assert shared.startswith(GRAPH + "configuration/") and own == GRAPH + "device/d1/state"


def test_unknown_kind_changes_nothing() -> None:
    event, _ = plain_events()[0]
    assert project(replace(event, kind="weather.changed")) == {}


def test_project_names_the_event_it_cannot_read() -> None:
    event, _ = plain_events()[0]
    with pytest.raises(StoreError, match=r"journal event 1 \(board.described\): 'core'"):
        body = {k: v for k, v in event.body.items() if k != "core"}
        project(replace(event, body=body))


@pytest.mark.parametrize("name", ["a b", "a> <b", "é", 'x" . <a', "%2e", "a/b", "..", ""])
def test_names_cannot_break_out_of_an_iri(name: str) -> None:
    event, _ = plain_events()[0]
    event = replace(event, kind="device.presence", body={"device": name, "state": "x", "boot": 1})
    if name in ("..", ""):
        with pytest.raises(StoreError):
            project(event)
        return
    store = Store.memory()
    store.replace_graphs(project(event))
    (graph,) = {quad.graph_name.value for quad in store.quads()}
    assert re.fullmatch(re.escape(GRAPH) + r"device/[^/]+/presence", graph)


def test_document_cannot_replace_the_graph_of_a_device() -> None:
    event, blob = plain_events()[-1]
    body = {**event.body, "graph": GRAPH + "device/d1/state"}
    with pytest.raises(StoreError, match="expected one under"):
        project(replace(event, body=body), blob)


def test_reported_again_without_model_leaves_none() -> None:
    store = Store.memory()
    events = [("device.reported", "d1", reported("d1", image), None) for image in (DIGITS_1, None)]
    for event, blob in plain_events(events):
        apply(store, event, blob)
    model = "SELECT ?m { ?d ek:configuration/ek:reportedModel ?m }"
    assert list(store.select(model)) == []


def test_devices_that_are_the_same_share_a_configuration() -> None:
    store = Store.memory()
    events = [
        ("device.reported", name, reported(name, DIGITS_1, uptime_s=number, **changes), None)
        for number, (name, changes) in enumerate(
            [("d1", {}), ("d2", {}), ("d3", {"ram_free": 1}), ("d4", {"sensors": ["camera"]})]
        )
    ]
    for event, blob in plain_events(events):
        apply(store, event, blob)
    rows = store.select("SELECT ?same ?d { ?d ek:configuration ?same } ORDER BY ?d")
    names = [row["same"] for row in rows]
    assert names[0] == names[1] and len(set(names)) == 3


def test_telemetry_keeps_the_last_value_of_each_property() -> None:
    store = Store.memory()
    store.replace_graphs(telemetry("d1", 1_000, {"temperature": 20.5, "humidity": 0.4}))
    store.replace_graphs(telemetry("d1", 2_000, {"temperature": 21.0}))
    text = "SELECT ?v { <%s> ek:latestObservation/sosa:hasSimpleResult ?v }"
    (row,) = store.select(text % thing("device", "d1").value)
    assert row["v"] == ox.Literal(21.0)


def test_site_telemetry_is_that_of_the_devices_of_the_site() -> None:
    store = Store.memory()
    added = [
        ("device.added", name, {"device": name, "board": "cam", "fleet": "f", "site": site}, None)
        for name, site in (("d1", "hall-2"), ("d2", "hall-2"), ("d3", "roof"))
    ]
    for event, blob in plain_events(added):
        apply(store, event, blob)
    for name in ("d1", "d2", "d3"):
        store.replace_graphs(telemetry(name, 1_000, {"temperature": 20.5}))
    rows = store.named("site_telemetry", {"site": ox.Literal("hall-2")})
    assert sorted(str(row["id"]) for row in rows) == ['"d1"', '"d2"']


def test_device_added_again_is_no_longer_revoked() -> None:
    added = {"device": "d1", "board": "cam", "fleet": "demo"}
    store = Store.memory()
    events = [
        ("device.added", "d1", added, None),
        ("device.revoked", "d1", {"device": "d1", "reason": "lost"}, None),
        ("device.added", "d1", added, None),
    ]
    for event, blob in plain_events(events):
        apply(store, event, blob)
    assert not [q for q in store.quads() if q.predicate.value == EK + "revokedAt"]


def test_apply_is_idempotent_and_refuses_gaps() -> None:
    events = plain_events()
    store = Store.memory()
    for event, blob in events[:3]:
        apply(store, event, blob)
    before = store.canonical()
    apply(store, *events[1])
    assert store.canonical() == before
    with pytest.raises(StoreError, match="contains journal event 3, cannot go on with 5"):
        apply(store, *events[4])


def test_rebuild_equals_incremental(tmp_path: Path) -> None:
    """From the journal anew, event by event, and in pieces of random length: the same dataset."""
    rng = random.Random(1)
    with write_journal(tmp_path / "a") as journal, Store.open(tmp_path / "inc") as store:
        for event in journal.events():
            apply(store, event, None if event.blob is None else journal.blob(event.blob))
        incremental = store.canonical()
        rebuild(tmp_path / "store", journal)
        with Store.open(tmp_path / "store") as again:
            assert again.canonical() == incremental
            assert projected(again) == journal.last_seq()
            assert catch_up(again, journal) == 0
    with Store.memory() as pieces, write_journal(tmp_path / "b", []) as journal:
        for kind, subject, body, blob in story():
            journal.append(kind, subject, body, blob=blob)
            if rng.random() < 0.3:
                catch_up(pieces, journal)
        catch_up(pieces, journal)
        whole = Store.memory()
        catch_up(whole, journal)
        assert pieces.canonical() == whole.canonical()


def test_rebuild_drops_what_is_not_in_the_journal(tmp_path: Path) -> None:
    with write_journal(tmp_path) as journal:
        rebuild(tmp_path / "store", journal)
        graph = ox.NamedNode("https://example.org/g")
        with Store.open(tmp_path / "store") as store:
            expected = store.canonical()
            store.replace_graph(graph, [ox.Quad(graph, graph, graph, graph)])
        (tmp_path / "store.new").mkdir()  # left by a rebuild that was cut
        rebuild(tmp_path / "store", journal)
        with Store.open(tmp_path / "store") as store:
            assert store.canonical() == expected
    assert sorted(p.name for p in tmp_path.glob("store*")) == ["store"]


def test_rebuild_refuses_while_another_writes(tmp_path: Path) -> None:
    with write_journal(tmp_path) as journal, Store.open(tmp_path / "store"):  # noqa: SIM117
        with pytest.raises(StoreError, match="in use by another process"):
            rebuild(tmp_path / "store", journal)


def test_catch_up_refuses_a_journal_that_is_behind(tmp_path: Path) -> None:
    store = Store.memory()
    with write_journal(tmp_path / "long") as journal:
        catch_up(store, journal)
    with write_journal(tmp_path / "short", story()[:2]) as journal:  # noqa: SIM117
        with pytest.raises(StoreError, match="the journal ends at 2"):
            catch_up(store, journal)


def test_rebuild_of_what_cannot_be_projected_leaves_the_old_store(tmp_path: Path) -> None:
    with write_journal(tmp_path) as journal:
        rebuild(tmp_path / "store", journal)
        body = {"graph": "urn:x", "media_type": "text/turtle", "source": "x.ttl"}
        event = journal.append("document.loaded", "urn:x", body, blob=b"no turtle")
        journal.append("device.presence", "d1", {"device": "d1", "state": "lost", "boot": 3})
        with pytest.raises(StoreError, match=rf"journal event {event.seq} \(document.loaded\)"):
            rebuild(tmp_path / "store", journal)
    with Store.open(tmp_path / "store") as store:
        assert projected(store) == event.seq - 1
    assert not (tmp_path / "store.new").exists()
