"""The door: what a foreign document may be, and how a refusal reads."""

from __future__ import annotations

import json
from pathlib import Path

import pyoxigraph as ox
import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry.fleet_fixture import DOCUMENT, story, write_journal

from edgekit import share
from edgekit.errors import EdgekitError, FormatError, RefusedError
from edgekit.registry import documents, match
from edgekit.registry.documents import JSON_LD, TURTLE, media_type_of, read_document
from edgekit.registry.load import load_document
from edgekit.registry.shacl import check
from edgekit.registry.store import Store
from edgekit.registry.sync import catch_up

G = ox.NamedNode("https://w3id.org/edgekit/graph/document/g")
PREFIXES = (
    "@prefix ek: <https://w3id.org/edgekit/ontology#> . @prefix schema: <https://schema.org/> . "
)
BOARD = "https://w3id.org/edgekit/id/board/cam"


def read(text: str | bytes, media_type: str = TURTLE) -> list[ox.Quad]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_document(data, media_type, graph=G))


def test_violation_is_one_clear_line() -> None:
    report = check(read((share.ontologies() / "examples" / "board-invalid.ttl").read_bytes()))
    assert [str(violation) for violation in report.violations] == [
        'id:board/odd ek:flashBytes: found "0" (xsd:integer), expected exactly 1 xsd:integer >= 1',
        'id:board/odd ek:ramBytes: found "128 kB", expected exactly 1 xsd:integer >= 1',
        'id:board/odd ek:sensorKind: found "Camera", expected xsd:string like ^[a-z][a-z0-9_]*$',
        "id:board/odd ek:slotBytes: found nothing, expected exactly 1 xsd:integer >= 0",
    ]


def test_misspelt_term_is_a_violation_with_a_hint() -> None:
    (violation,) = check(read(PREFIXES + "<https://x.org/b> ek:ramByte 5 .")).violations
    assert str(violation) == (
        "https://x.org/b: found ek:ramByte,"
        " expected a term that edgekit.ttl declares; did you mean ek:ramBytes"
    )


def test_ill_typed_literal_is_a_violation_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    typed = '"yes"^^<http://www.w3.org/2001/XMLSchema#boolean>'
    text = f'<https://x.org/c> a ek:Chip ; schema:name "c" ; ek:hasFpu {typed} .'
    (violation,) = check(read(PREFIXES + text)).violations
    assert violation.found == '"yes" (xsd:boolean)'
    assert not caplog.records


def test_document_that_says_nothing_known_is_counted() -> None:
    report = check(read('<https://x.org/a> <https://x.org/b> "c" .'))
    assert (report.triples, report.checked, report.violations) == (1, 0, ())


def test_same_bytes_give_same_quads_without_blank_nodes() -> None:
    quads = read(DOCUMENT)
    assert quads == read(DOCUMENT)
    assert "_:" not in "".join(str(quad.subject) + str(quad.object) for quad in quads)


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        ("https://www.w3.org/2022/wot/td/v2", "https://www.w3.org/2022/wot/td/v2"),
        ([{"a": "https://x.org/a"}, "file:///etc/passwd"], "file:///etc/passwd"),
        ({"@import": "http://127.0.0.1:1/"}, "http://127.0.0.1:1/"),
        ({"a": {"@id": "https://x.org/a", "@context": "https://x.org/c"}}, "https://x.org/c"),
    ],
)
def test_remote_context_is_refused_and_not_fetched(context: object, shown: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(json.dumps({"@context": context, "@id": "https://x.org/x", "a": 1}), JSON_LD)
    assert str(caught.value) == (
        f"document: '@context' names '{shown}', expected the terms themselves: nothing is fetched"
    )


def test_json_ld_with_its_terms_is_read_and_judged() -> None:
    document = {
        "@context": {"@vocab": "https://w3id.org/edgekit/ontology#", "name": "https://schema.org/name"},
        "@id": "https://x.org/b", "@type": "Board", "name": "b", "ramBytes": 65536, "flashBytes": 0,
    }  # fmt: skip
    report = check(read(json.dumps(document), JSON_LD))
    assert [v.path.rsplit("#")[-1] for v in report.violations] == ["flashBytes", "slotBytes"]


@pytest.mark.parametrize(
    ("text", "media_type", "message"),
    [
        (b"\xff", TURTLE, "byte 0 is not UTF-8"),
        ("<a> <b>", TURTLE, "document: "),
        ("{", JSON_LD, "document: "),
        ("[" * 100, TURTLE, "nested deeper than 32"),
        ('{"a":' * 100, JSON_LD, "nested deeper than 32"),
        ("<a> <b> " + "(" * 40 + ")" * 40 + " .", TURTLE, "nested deeper than 32"),
        ('{"@id": "https://x.org/g", "@graph": [{"@id": "https://x.org/a", "https://x.org/p": 1}]}',
         JSON_LD, "names graph <https://x.org/g>"),
        ("<a> <b> <c> .", "text/html", "media type 'text/html'"),
        ("<a> <b> <c d> .", TURTLE, "document: "),
    ],
)  # fmt: skip
def test_unreadable_document_is_refused(text: str | bytes, media_type: str, message: str) -> None:
    with pytest.raises(FormatError, match="document: ") as caught:
        read(text, media_type)
    assert message in str(caught.value)


def test_brackets_in_strings_do_not_nest() -> None:
    assert len(read('<a> <b> "' + "[" * 99 + '" . # ' + "(" * 99)) == 1
    assert (
        len(read(json.dumps({"@id": "https://x.org/a", "https://x.org/p": "{" * 99}), JSON_LD)) == 1
    )


def test_large_documents_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="expected at most 4194304"):
        read(b" " * (documents.MAX_BYTES + 1))
    monkeypatch.setattr(documents, "MAX_TRIPLES", 3)
    with pytest.raises(FormatError, match="more than 3 triples"):
        read("<a> <b> 1 , 2 , 3 , 4 .")


@given(st.binary(max_size=200), st.sampled_from([TURTLE, JSON_LD]))
def test_any_bytes_give_quads_or_a_format_error(data: bytes, media_type: str) -> None:
    try:
        read(data, media_type)
    except EdgekitError as exc:
        assert str(exc).startswith("document: ")


@given(st.text(alphabet="<>\"'[](){}@^_:.;,#abp \n\\u0", max_size=60))
def test_any_near_turtle_gives_quads_or_a_format_error(text: str) -> None:
    try:
        read(PREFIXES + text)
    except FormatError as exc:
        assert str(exc).startswith("document: ")


def test_media_type_comes_from_the_suffix() -> None:
    assert media_type_of(Path("a.TTL")) == TURTLE
    with pytest.raises(FormatError, match=r"suffix '\.rdf'"):
        media_type_of(Path("a.rdf"))


def test_load_writes_journal_and_store(tmp_path: Path) -> None:
    store = Store.memory()
    with write_journal(tmp_path, story()[:9]) as journal:
        data = DOCUMENT
        report, graph = load_document(store, journal, data, TURTLE, name="new", source="n.ttl")
        assert (report.checked, graph) == (1, "https://w3id.org/edgekit/graph/document/new")
        assert match.find(store, "foreign", "board").value == "https://example.org/board/foreign"
        again = Store.memory()
        catch_up(again, journal)
        assert again.canonical() == store.canonical()
        smaller = data.replace(b'[ schema:text "fine" ]', b'"fine"')
        load_document(store, journal, smaller, TURTLE, name="new", source="n.ttl")
        assert len(list(store.quads(ox.NamedNode(graph)))) == 6


def test_load_refuses_a_second_size_for_a_known_board(tmp_path: Path) -> None:
    """Alone the document is fine; beside what the journal says of the board it is not."""
    text = PREFIXES + f"<{BOARD}> ek:ramBytes 999999 ."
    assert check(read(text)).violations == ()
    store = Store.memory()
    with write_journal(tmp_path, story()[:9]) as journal:
        before = journal.last_seq()
        with pytest.raises(RefusedError, match=r"x.ttl: id:board/cam ek:ramBytes: found 2 values"):
            load_document(store, journal, text.encode(), TURTLE, name="x", source="x.ttl")
        with pytest.raises(RefusedError, match="found no triples"):
            load_document(store, journal, b"", TURTLE, name="x", source="x.ttl")
        assert journal.last_seq() == before
