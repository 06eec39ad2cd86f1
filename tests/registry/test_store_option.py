"""`--store`: registry commands on a SPARQL server, and on a project that a service writes to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from registry.fleet_fixture import DOCUMENT, write_journal

from edgekit.cli.main import main
from edgekit.journal import Journal
from edgekit.registry.http_server import RegistryServer, Service
from edgekit.registry.store import Store
from edgekit.registry.sync import open_writer, projected

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a registry command in a project; return what it printed."""

    def call(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["registry", *arguments, "--project", str(tmp_path)]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return call


def test_commands_work_on_a_server(tmp_path: Path, oxigraph: str, run: Run) -> None:
    """All that the project's own store can do; the answers are the same."""
    write_journal(tmp_path / ".edgekit").close()
    store = ("--store", oxigraph)
    assert "events" in run("rebuild", *store)
    for command in (
        ("query", "models-for-board", "cam", "--json"),
        ("match", "--device", "d1", "--json"),
        ("show", "d1", "--json"),
        ("export", "d1", "--to", "td"),
    ):
        assert run(*command, *store) == run(*command)
    (tmp_path / "other.ttl").write_bytes(DOCUMENT.replace(b"foreign", b"other"))
    assert "things with a shape" in run("load", str(tmp_path / "other.ttl"), *store)
    assert "1 added" in run("add", "mps2_an386", *store)
    assert "entered" in run(
        *("measure", "digits:1", "--board", "cam", "--by", "bench", "--latency-us", "9"), *store
    )
    assert '"other"' in run(
        "query", "SELECT ?n { ?b a ek:Board ; schema:name ?n }", "--json", *store
    )
    assert "quads" in run("backup", str(tmp_path / "a.nq"), *store)
    with Store.remote(oxigraph) as remote, Journal.open(tmp_path / ".edgekit") as journal:
        assert projected(remote) == journal.last_seq()
        with open_writer(tmp_path / ".edgekit") as own:
            assert own.canonical() == remote.canonical()


def test_server_of_another_project_is_refused(tmp_path: Path, oxigraph: str, run: Run) -> None:
    write_journal(tmp_path / "other").close()
    with Store.remote(oxigraph) as remote, Journal.open(tmp_path / "other") as journal:
        from edgekit.registry.sync import rebuild_there

        rebuild_there(remote, journal)
    said = run("add", "mps2_an386", "--store", oxigraph, code=1)
    assert "the journal ends at 1" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:1/", "expected sparql\\+http://HOST:PORT/PATH"),
        ("sparql+http://127.0.0.1:1/", "cannot be reached"),
        ("sparql+http://127.0.0.1:1/?x=1", "found 'x', expected query, update, data"),
    ],
)
def test_wrong_address_is_one_line(run: Run, address: str, said: str) -> None:
    import re

    found = run("query", "ASK {}", "--store", address, code=1)
    assert re.search(said, found) and found.count("\n") == 1


def test_commands_work_while_a_service_writes(tmp_path: Path, run: Run) -> None:
    """They enter in the journal, and the service follows it; before, they ended with an error."""
    root = tmp_path / ".edgekit"
    write_journal(root).close()
    (tmp_path / "other.ttl").write_bytes(DOCUMENT.replace(b"foreign", b"other"))
    with RegistryServer(Service(root, write=True, readers=1)) as server:
        assert "1 added" in run("add", "mps2_an386")
        assert "things with a shape" in run("load", str(tmp_path / "other.ttl"))
        own = ("--store", "sparql+" + server.url)
        wanted = {"mps2_an386", "other", "cam"}
        end = time.monotonic() + 60.0
        found: set[str] = set()
        while not wanted <= found and time.monotonic() < end:
            said = run("query", "SELECT ?n { ?b a ek:Board ; schema:name ?n }", "--json", *own)
            found = {row["n"]["value"] for row in json.loads(said)["results"]["bindings"]}
        assert wanted <= found
        assert "cam" in run("match", "--model", "digits:1", *own)
