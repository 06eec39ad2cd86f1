"""Devices of a run, chosen by a question."""

from __future__ import annotations

from pathlib import Path

import pytest
from registry.fleet_fixture import DIGITS_1

from edgekit.errors import EdgekitError
from edgekit.registry.choose import choose_devices
from edgekit.registry.store import Store

KNOWN = {"model": DIGITS_1, "classes": "10", "features": "32"}
ALL = "SELECT ?device { ?device a ek:Device }"


def test_question_is_sparql_a_file_or_a_saved_query(fleet: Store, tmp_path: Path) -> None:
    def choose(question: str) -> tuple[str, ...]:
        return choose_devices(fleet, question, known=KNOWN, folder=tmp_path)

    everybody = choose(ALL)
    assert len(everybody) == 6 and list(everybody) == sorted(everybody)
    (tmp_path / "all.rq").write_text(ALL)
    assert choose("all.rq") == everybody
    assert choose("devices") == everybody
    ids = "SELECT ?id { ?d a ek:Device ; dcterms:identifier ?id }"
    assert choose(ids) == everybody
    able = choose("cohort since=2020-01-01T00:00:00Z")
    assert able and set(able) < set(everybody)
    assert choose("cohort since=2020-01-01T00:00:00Z classes=11") == ()


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("cohort", "query 'cohort' needs parameter 'since'"),
        ("cohort 1h", "query 'cohort': found '1h', expected NAME=VALUE"),
        ("cohort since=1h fish=2", "query 'cohort' has no parameter 'fish'"),
        ("nothing since=1h", "no saved query 'nothing'"),
        ("SELECT ?x { ?x a ek:Device }", "has ?x, expected ?device or ?id among them"),
        ("SELECT ?device { ?device a ek:Board }", "is no device"),
        ("SELECT ?device { ?x a ek:Device OPTIONAL { ?x ek:no ?device } }", "without ?device"),
        ("ASK { ?a ?b ?c }", "expected SELECT"),
        ("SELECT ?device {", "line 1, column 17"),
        ("missing.rq", "missing.rq: cannot be read"),
        ("latin.rq", "latin.rq: byte 2 is not UTF-8"),
    ],
)
def test_question_that_names_no_devices_is_refused(
    fleet: Store, tmp_path: Path, question: str, said: str
) -> None:
    (tmp_path / "latin.rq").write_bytes(b"# \xe9")
    with pytest.raises(EdgekitError) as found:
        choose_devices(fleet, question, known=KNOWN, folder=tmp_path)
    assert said in str(found.value) and "\n" not in str(found.value)
