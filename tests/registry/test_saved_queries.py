"""The saved queries: each answers, agrees with the rules, and takes any text as a value only."""

from __future__ import annotations

import json
import random

import pyoxigraph as ox
import pytest

from edgekit.errors import EdgekitError, FormatError
from edgekit.registry import match, saved
from edgekit.registry.rules import Budget
from edgekit.registry.store import Store
from edgekit.registry.terms import moment

NOW_MS = 1_700_000_100_000
DATE_TIME = moment(0).datatype
EXAMPLES = {
    "board": "cam", "device": "d1", "model": "digits:1", "since": "30min", "site": "lab",
    "word": "digit", "features": "32", "classes": "10", "task": "image-classification",
    "latency_us": "20000", "energy_uj": "5000", "first": "accelerometer", "second": "gyroscope",
    "head": "bbbbbbbb", "least_ram": "1000", "least_flash": "1000",
}  # fmt: skip
QUERIES = {query.name: query for query in saved.saved_queries()}
PLANNED = Budget(planned=True)


def values(query: saved.SavedQuery) -> dict[str, str]:
    return {parameter.name: EXAMPLES[parameter.name] for parameter in query.parameters}


def rows(store: Store, name: str, **given: str) -> list[dict[str, str]]:
    found = saved.run(store, name, given, now_ms=NOW_MS)
    assert isinstance(found, ox.QuerySolutions)
    names = [variable.value for variable in found.variables]
    return [{n: getattr(row[n], "value", "") for n in names} for row in found]


@pytest.mark.parametrize("name", QUERIES)
def test_query_asks_a_question_and_answers(fleet: Store, name: str) -> None:
    query = QUERIES[name]
    assert query.question.rstrip(".").split("?")[0] and "?" in query.question
    assert {p.kind for p in query.parameters} <= set(saved.KINDS)
    found = saved.run(fleet, name, values(query), now_ms=NOW_MS)
    assert len(list(found)) > (0 if name not in SILENT else -1)


# Nothing of the kind is in the small fleet.
SILENT = {"device-reasons", "licences", "site-telemetry"}


@pytest.mark.parametrize("board", ["cam", "imu", "mic", "tiny", "foreign"])
def test_models_for_board_are_those_of_the_rules(fleet: Store, board: str) -> None:
    fitting = {m.iri for m in match.fitting_models(fleet, board=board, budget=PLANNED)}
    assert {row["model"] for row in rows(fleet, "models-for-board", board=board)} == fitting


@pytest.mark.parametrize("device", ["d1", "d2", "d3", "d4", "d5", "d6"])
def test_models_for_device_are_those_of_the_rules(fleet: Store, device: str) -> None:
    fitting = {m.iri for m in match.fitting_models(fleet, device=device, budget=PLANNED)}
    assert {row["model"] for row in rows(fleet, "models-for-device", device=device)} == fitting


def test_smallest_board_is_that_of_the_rules(fleet: Store) -> None:
    for model in ("digits:1", "digits:2"):
        smallest = match.smallest_board(fleet, model, budget=PLANNED)
        assert smallest is not None
        assert rows(fleet, "smallest-board", model=model)[0]["board_name"] == smallest.name


def test_answers(fleet: Store) -> None:
    best = rows(fleet, "best-model", **values(QUERIES["best-model"]))
    assert [(row["name"], row["version"], row["latency"]) for row in best] == [
        ("digits", "1", "12400")
    ]
    assert rows(fleet, "best-model", **(values(QUERIES["best-model"]) | {"latency_us": "9"})) == []
    (ended,) = rows(fleet, "finished-runs")
    assert ended["run"].endswith("/run/7")
    assert (ended["rounds"], ended["reason"]) == ("1", "target reached")
    made = [
        (row["device"][-2:], row["accepted"]) for row in rows(fleet, "head-history", head="b" * 64)
    ]
    assert ("d2", "true") in made and ("d3", "false") in made
    assert rows(fleet, "head-history", head="b") == []
    (run,) = rows(fleet, "runs-of-site", site="lab")
    assert run["run"].endswith("/training/t1")
    assert [row["name"] for row in rows(fleet, "licences")] == ["keywords"]
    assert [row["id"] for row in rows(fleet, "carriers", model="digits:1")] == [
        f"d{n}" for n in range(1, 6)
    ]
    assert [
        row["name"]
        for row in rows(fleet, "boards-with-sensors", **values(QUERIES["boards-with-sensors"]))
    ] == ["imu"]
    assert len(rows(fleet, "not-seen", since="1s")) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30min", moment(NOW_MS - 1_800_000)),
        ("2 h", moment(NOW_MS - 7_200_000)),
        ("2026-11-20T08:00:00Z", ox.Literal("2026-11-20T08:00:00Z", datatype=DATE_TIME)),
        ("2026-11-20T09:00:00+01:00", ox.Literal("2026-11-20T08:00:00Z", datatype=DATE_TIME)),
    ],
)  # fmt: skip
def test_moments(fleet: Store, text: str, expected: ox.Literal) -> None:
    parameter = saved.Parameter("since", "moment")
    assert saved.as_term(fleet, parameter, text, now_ms=NOW_MS) == expected


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("nix", {}, "no saved query 'nix'; there are benchmarks, "),
        ("not-seen", {}, "query 'not-seen' needs parameter 'since'"),
        ("boards", {"x": "1"}, "query 'boards' has no parameter 'x'"),
        ("not-seen", {"since": "soon"}, "parameter 'since' is 'soon', expected a time such as"),
        ("models-for-board", {"board": "nix"}, "registry knows no board 'nix'"),
        ("search", {"word": "x" * 257}, "parameter 'word' has 257 characters, expected at most"),
    ],
)
def test_wrong_use_is_named(fleet: Store, name: str, given: dict[str, str], message: str) -> None:
    with pytest.raises(EdgekitError) as caught:
        saved.run(fleet, name, given)
    assert str(caught.value).startswith(message)


ATTACKS = [
    "'", '"', "\\", "}", "{", ">", "<x>", "<x> <y>", "?s", "$s", "#", "# } ", ";", ".", "\n", "\0",
    '" . } ; DROP ALL #', "' } ; CLEAR ALL ; #", "> . } DELETE WHERE { ?s ?p ?o } #",
    "> } UNION { ?s ?p ?o", '" ) UNION { ?s ?p ?o } #', '"""', "'''", '\\" . }', "\\u0022 . }",
    "http://x/> . ?s ?p ?o #", "http://x/ y", "http://x/\n", "https://x/%3E", "urn:x>y",
    "SELECT * { ?s ?p ?o }", "SERVICE <http://127.0.0.1/> {}", "1 OR 1=1", "1; DROP ALL", "0x10",
    "1e999", "nan", "inf", "-1", "٣", "1_000", "9" * 30, "2026-13-01", "0min", "-1h", "1 h; x",
    "cam' || '1'='1", 'cam" . ?x ?y ?z . "', "cam}", "d1> <", "digits:1' }", "digits:\" }", ":",
    "::", "a:b:c", "../board/cam", "%2e%2e", "cam\u0000", "cam\ud7ff", "\u202ecam", "ｃａｍ",
    "BIND(1 AS ?x)", "VALUES ?board { }", "FILTER(true)", "MINUS {}", "GRAPH ?g { ?s ?p ?o }",
    "LOAD <file:///etc/passwd>", "COPY ALL TO <x>", "BASE <http://evil/>", "PREFIX x: <y>",
]  # fmt: skip
CASES = [
    (name, parameter.name, attack)
    for name, query in QUERIES.items()
    for parameter in query.parameters
    for attack in ATTACKS
]


def test_injection_in_every_parameter(fleet: Store) -> None:
    """A value is a value: it changes neither the query nor the store, and finds only itself."""
    assert len(CASES) >= 200
    rng = random.Random(5)
    before = set(fleet.quads())
    every = {parameter for _, parameter, _ in CASES}
    assert every == {p.name for query in QUERIES.values() for p in query.parameters}
    for name, parameter, attack in rng.sample(CASES, len(CASES)):
        given = values(QUERIES[name]) | {parameter: attack}
        try:
            found = list(saved.run(fleet, name, given, now_ms=NOW_MS))
        except EdgekitError as exc:
            assert not str(exc).startswith("query: "), (name, attack, exc)
            continue
        kind = next(p.kind for p in QUERIES[name].parameters if p.name == parameter)
        if kind == "text":
            # Bound as a literal: a row says it back as it is.
            assert all(row[parameter].value == attack for row in found)
    assert set(fleet.quads()) == before


def test_syntax_error_has_line_and_column(fleet: Store) -> None:
    with pytest.raises(FormatError, match=r"query: .*2:\d+|query: .*line 2, column \d+"):
        list(fleet.select("SELECT ?x WHERE {\n  ?x ?y }}"))


def test_rows_are_sparql_results(fleet: Store) -> None:
    found = saved.run(fleet, "boards", {})
    assert isinstance(found, ox.QuerySolutions)
    data = found.serialize(format=ox.QueryResultsFormat.JSON)
    assert len(json.loads(data or b"{}")["results"]["bindings"]) == 5
