"""`edgekit registry` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from registry.fleet_fixture import DIGITS_2, DOCUMENT, write_journal

from edgekit import share
from edgekit.cli import main as frame
from edgekit.cli.main import Command

EXAMPLES = share.ontologies() / "examples"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in a project with the fleet of the fixture."""
    write_journal(tmp_path / ".edgekit").close()
    monkeypatch.chdir(tmp_path)
    command = Command("registry", "registry", "registry_app", "The registry.")
    monkeypatch.setattr(frame, "COMMANDS", (command,))

    def call(*arguments: str, code: int = 0) -> str:
        assert frame.main(["registry", *arguments]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return call


def test_match_board_prints_reasons(run: Any) -> None:
    lines = run("match", "--board", "tiny").splitlines()
    assert lines[0].split() == "model fits accuracy latency bytes left why not".split()
    line = next(line for line in lines if line.startswith("digits 2"))
    assert "no" in line.split() and "97.5%" in line
    assert "bytes of RAM with firmware and margin, board has 16384" in line


def test_match_json_has_codes(run: Any) -> None:
    models = json.loads(run("match", "--device", "d3", "--json"))["models"]
    digits = next(m for m in models if m["name"] == "digits 2")
    assert [r["code"] for r in digits["reasons"]] == ["ram_free"]
    groups = json.loads(run("match", "--model", "digits:2", "--json"))
    assert [b["name"] for b in groups["boards"] if b["fits"]] == ["cam"]
    assert [d["name"] for d in groups["devices"] if d["fits"]] == ["d1", "d2"]


def test_match_wants_one_target(run: Any) -> None:
    assert "expected one of --board" in run("match", code=2)
    assert "registry knows no board 'nix'" in run("match", "--board", "nix", code=1)


def test_query_forms(run: Any, tmp_path: Path) -> None:
    text = "SELECT ?name { ?b a ek:Board ; schema:name ?name } ORDER BY ?name LIMIT 2"
    assert run("query", text).split() == ["name", "cam", "foreign"]
    assert run("query", text, "--csv").split() == ["name", "cam", "foreign"]
    found = json.loads(run("query", text, "--json"))
    assert [row["name"]["value"] for row in found["results"]["bindings"]] == ["cam", "foreign"]
    assert run("query", "ASK { ?d a ek:Device }").strip() == "true"
    (tmp_path / "q.rq").write_text("CONSTRUCT { ?b a ek:Chip } WHERE { ?b a ek:Chip }")
    assert "stm" not in run("query", "q.rq") and run("query", "q.rq").count("#Chip") == 4
    assert "query: " in run("query", "DROP ALL", code=1)
    assert "cannot be read" in run("query", "none.rq", code=1)


def test_show(run: Any) -> None:
    text = run("show", "d1")
    assert "ek:presence" in text and "online" in text
    assert "is ek:targetDevice of  ek:Rollout id:rollout/r1" in text
    assert "├─ ek:board  ek:Board cam\n│  ├─ " in text
    facts = json.loads(run("show", DIGITS_2[:12], "--json"))
    assert facts["facts"]["dcat:version"] == ["2"]


def test_validate(run: Any) -> None:
    assert "0 violations" in run("validate", str(EXAMPLES / "board-valid.ttl"))
    found = json.loads(run("validate", str(EXAMPLES / "device-valid.ttl"), "--json"))
    assert found["checked"] == 1
    run("validate", str(EXAMPLES / "board-invalid.ttl"), code=1)
    shape = str(share.ontologies() / "shapes" / "chip.ttl")
    run("validate", str(EXAMPLES / "board-invalid.ttl"), "--shapes", shape)
    assert "cannot be read" in run("validate", "x.ttl", code=1)
    (Path.cwd() / "x.txt").touch()
    assert "suffix '.txt'" in run("validate", "x.txt", code=1)


def test_validate_names_every_violation(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code = frame.main(["registry", "validate", str(EXAMPLES / "board-invalid.ttl")])
    lines = capsys.readouterr().out.splitlines()
    assert code == 1 and len(lines) == 5
    assert lines[-1] == "board-invalid.ttl: 5 triples, 1 things with a shape, 4 violations"


def test_load_then_rebuild(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.ttl").write_bytes(DOCUMENT.replace(b"foreign", b"mine"))
    assert "document/mine: 7 triples, 1 things" in run("load", "mine.ttl")
    before = run("query", "SELECT ?s ?p ?o { ?s ?p ?o } ORDER BY ?s ?p ?o", "--csv")
    assert json.loads(run("rebuild", "--json"))["quads"] > 100
    assert run("query", "SELECT ?s ?p ?o { ?s ?p ?o } ORDER BY ?s ?p ?o", "--csv") == before
    error = run("load", str(EXAMPLES / "board-invalid.ttl"), code=1)
    assert error.startswith("error: board-invalid.ttl: id:board/odd ek:flashBytes: found")
    assert len(error.splitlines()) == 1


def test_without_journal_says_so(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (["rebuild"], ["show", "x"], ["match", "--board", "x"]):
        assert "no journal at" in run(*arguments, "--project", str(tmp_path / "empty"), code=1)
    assert list((tmp_path / "empty").iterdir()) == []


def test_saved_query_by_name(run: Any) -> None:
    text = run("query", "models-for-board", "cam")
    assert [line.split()[1] for line in text.splitlines()[1:]] == ["digits", "digits"]
    assert "models-for-board BOARD" in run("query", "--list")
    names = {query["name"] for query in json.loads(run("query", "--list", "--json"))}
    assert {"best-model", "lineage", "out-of-step"} <= names
    found = run(
        "query", "best-model", "board=cam", "image-classification", "20000", "9000", "--csv"
    )
    assert found.splitlines()[1].split(",")[1:3] == ["digits", "1"]
    assert "no saved query 'nix'" in run("query", "nix", code=1)
    assert "takes 1 values, found 2" in run("query", "lineage", "a", "b", code=1)
    assert "registry knows no board" in run("query", "models-for-board", "x } DROP ALL", code=1)


def test_match_with_budget_and_rank(run: Any) -> None:
    lines = run("match", "--board", "cam", "--by", "latency").splitlines()
    assert lines[1].split()[:4] == ["digits", "1", "yes", "96.0%"]
    models = json.loads(run("match", "--board", "cam", "--max-latency-us", "9", "--json"))["models"]
    assert {m["reasons"][0]["code"] for m in models if m["name"].startswith("digits")} == {
        "latency"
    }
    found = json.loads(run("match", "--model", "digits:2", "--limit", "1", "--json"))
    assert found["counts"] == {"fitting": 2, "devices": 5}  # one is revoked
    assert [d["fits"] for d in found["devices"]] == [True]
    assert "--by is one of" in run("match", "--board", "cam", "--by", "colour", code=2)


def test_boards_and_what_a_model_costs(run: Any, tmp_path: Path) -> None:
    assert json.loads(run("add", "nucleo_f411re", "--json")) == {
        "added": ["nucleo_f411re"],
        "known": 0,
    }
    assert "0 added, 1 known" in run("add", "nucleo_f411re")
    assert "no board of edgekit and no .tflite" in run("add", "nucleo", code=1)
    # A board of which only data is known is judged by it: there is no camera on it.
    assert "sensor camera is not on the board" in run("match", "--board", "nucleo_f411re")
    fits = run("query", "models-for-board", "nucleo_f411re", "--csv").splitlines()[1:]
    assert [line.split(",")[1] for line in fits] == ["digits"]
    run("measure", "digits:2", "--board", "cam", "--by", "bench", "--latency-us", "5000")
    assert run("match", "--board", "cam", "--by", "latency").splitlines()[1].startswith("digits 2")


def test_exports(run: Any, tmp_path: Path) -> None:
    assert json.loads(run("export", "d1", "--to", "td"))["title"] == "d1"
    run("export", "digits:1", "--to", "bom", "--out", "bom.json")
    assert json.loads((tmp_path / "bom.json").read_text())["bomFormat"] == "CycloneDX"
    assert "a ek:Board" in run("export", "cam", "--to", "ttl")
    assert "expected td, bom or ttl" in run("export", "cam", "--to", "xml", code=2)


def test_pictures(run: Any, tmp_path: Path) -> None:
    run("show", "d1", "--plot", "d1.png")
    run("match", "--board", "cam", "--plot", "fit.svg")
    run("query", "boards", "--plot", "boards.png")
    assert (tmp_path / "d1.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "fit.svg").read_bytes()
    assert (tmp_path / "boards.png").stat().st_size > 1_000
    assert "a picture is one of .png" in run("show", "d1", "--plot", "d1.txt", code=1)
