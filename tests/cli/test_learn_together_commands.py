"""`edgekit update`, `rollout` and `federate`, which reach a running fleet by its journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from firmware.tiny_model import CLASSES, INPUTS, tiny_image
from fleet.peer import Peer, wait_until
from service.scripted import ScriptedDevice, all_of, shift

from edgekit.cli.main import main
from edgekit.federated.codecs import decode_head
from edgekit.fleet.manifests import release_key
from edgekit.formats.image_reader import read_image
from edgekit.journal import Journal
from edgekit.ops import kernel_set, kernel_set_hash
from edgekit.runtime import Runner
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet
from edgekit.service.rollouts import RolloutDriver

pytestmark = [pytest.mark.broker, pytest.mark.cc]


@pytest.fixture(scope="module")
def image() -> bytes:
    return tiny_image()


@pytest.fixture
def project(tmp_path: Path, image: bytes) -> Path:
    """A folder with a model image and an acceptance set of which it gets 90 of 100 right."""
    raw = np.random.default_rng(3).integers(0, 256, (100, INPUTS), dtype=np.uint8)
    labels = Runner(image).run_raw(raw).argmax(axis=1)
    labels[90:] = (labels[90:] + 1) % CLASSES
    np.savez(tmp_path / "accept.npz", raw=raw, labels=labels)
    (tmp_path / "tiny.ekm").write_bytes(image)
    return tmp_path


@pytest.fixture
def fleet(project: Path) -> Iterator[LocalFleet]:
    with LocalFleet(root=project / ".edgekit", fleet="test", heartbeat_s=2) as running:
        RolloutDriver(running.server)
        FederatedDriver(running.server)
        wait_until(lambda: running.server.is_connected)
        yield running


def devices(fleet: LocalFleet, project: Path, count: int) -> list[ScriptedDevice]:
    key = release_key(project / ".edgekit" / "keys").public
    made = []
    for i in range(count):
        record = fleet.add_device(f"dev-{i}", "host")
        peer = Peer(f"dev-{i}", record.token, fleet.gateway.port)
        kernels = kernel_set_hash(kernel_set("vision", "host"))
        made.append(ScriptedDevice(peer, release_key=key, learn=shift(i), kernels=kernels))
    return made


def publish(project: Path, *extra: str) -> int:
    words = ["update", "publish", str(project / "tiny.ekm"), "--project", str(project)]
    accept = ["--accept", str(project / "accept.npz"), "--min-accuracy", "0.9"]
    return main([*words, "--board", "host", *accept, *extra])


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def test_publish_without_a_fleet_prints_the_release(
    project: Path, capsys: pytest.CaptureFixture[str], image: bytes
) -> None:
    assert publish(project) == 0
    assert "counter 1, accuracy 90.0% of at least 90.0%" in capsys.readouterr().out
    assert publish(project, "--json") == 0
    assert said(capsys)["image_id"] == read_image(image).id.hex()
    assert main(["update", "ls", "--project", str(project)]) == 0
    assert "tiny" in capsys.readouterr().out


def test_published_model_is_matched_by_the_registry(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(project) == 0
    assert publish(project) == 0  # the same release: nothing is said twice
    with Journal.open(project / ".edgekit" / "journal.db") as journal:
        kinds = [event.kind for event in journal.events()]
    assert kinds.count("model.registered") == 1 and kinds.count("board.described") == 1
    capsys.readouterr()
    words = ["registry", "match", "--board", "host", "--json", "--project", str(project)]
    assert main(words) == 0
    assert "tiny" in capsys.readouterr().out


def test_model_below_the_minimum_is_refused_with_exit_code_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(project, "--min-accuracy", "0.95") == 1
    error = capsys.readouterr().err
    assert "is 0.9000 (90 of 100), expected at least 0.9500" in error
    with Journal.open(project / ".edgekit" / "journal.db") as journal:
        assert [event.kind for event in journal.events()] == ["release.refused"]


def test_acceptance_file_that_is_none_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "accept.npz").write_bytes(b"PK\x03\x04 not really")
    assert publish(project) == 1
    assert "is not an .npz with 'raw' and 'labels'" in capsys.readouterr().err
    np.savez(project / "accept.npz", raw=np.zeros((3, 4)), labels=np.zeros(3))
    assert publish(project) == 1
    assert "expected uint8 [N, ...] and integers [N]" in capsys.readouterr().err


def test_rollout_and_federated_run_from_the_command_line(
    fleet: LocalFleet, project: Path, capsys: pytest.CaptureFixture[str], image: bytes
) -> None:
    where = ["--project", str(project)]
    with all_of(devices(fleet, project, 3)) as made:
        assert publish(project) == 0
        assert main(["rollout", "plan", "--board", "host", "--wave", "1", *where]) == 0
        assert "wave 2: 2 more" in capsys.readouterr().out
        quick = ["--soak-s", "0.2", "--deadline-s", "20", "--wait-s", "40"]
        started = ["rollout", "start", "--board", "host", "--wave", "1", "--wave", "100%"]
        assert main([*started, *quick, *where]) == 0
        assert "rollout host-1 of image" in (text := capsys.readouterr().out)
        assert "is finished: 3 of 3 devices installed" in text
        assert [device.image for device in made] == [image] * 3
        assert main(["rollout", "status", "--json", *where]) == 0
        assert said(capsys)["phase"] == "finished"
        assert main(["rollout", "abort", "host-1", *where]) == 1
        assert "rollout host-1 is finished, expected running" in capsys.readouterr().err

        out = project / "head.bin"
        wait_until(lambda: all(d.peer.desired is not None for d in made))
        words = ["federate", "run", read_image(image).id.hex()[:8], "--rounds", "2"]
        words += ["--codec", "top_p", "--share", "0.5", "--feedback"]
        assert main([*words, "--out", str(out), *where]) == 0
        text = capsys.readouterr().out
        assert "round 2: 3 updates, 0 rejected, 0 silent" in text
        assert "run 1 of 3 devices, fedavg, round 2 of 2, is finished: all rounds done" in text
        assert decode_head(out.read_bytes()).hash.hex() in text
        assert main(["federate", "status", "--json", *where]) == 0
        assert said(capsys)["round"] == 2
        assert main(["federate", "abort", "1", *where]) == 1
        capsys.readouterr()
        devices_of_runs(project, capsys)


def devices_of_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Choose the devices of further runs, and measure what they learn."""
    where = ["--project", str(project)]
    stranger = project / "stranger.rq"
    stranger.write_text("SELECT ?id { VALUES ?id { 'dev-0' 'dev-77' } }")
    wanted = "SELECT ?device { ?device dcterms:identifier ?id FILTER (?id IN ('dev-0', 'dev-2')) }"
    (project / "edgekit.toml").write_text(f'[federated]\ndevices = "{wanted}"')
    run = ["federate", "run", "--rounds", "1", "--accept", str(project / "accept.npz"), *where]
    assert main([*run, "--json"]) == 0
    body = said(capsys)
    assert body["devices"] == ["dev-0", "dev-2"]
    assert 0 < body["table"][0]["accuracy"] <= 1  # type: ignore[index]
    assert main([*run, "--json", "--board", "host"]) == 0
    assert said(capsys)["devices"] == ["dev-0", "dev-1", "dev-2"]
    with Journal.open(project / ".edgekit" / "journal.db") as journal:
        opened = [event.body for event in journal.events(kinds=("federated.opened",))]
    assert [body.get("select", "")[:6] for body in opened] == ["", "SELECT", "board "]
    travels = {"codec": "top_p", "share": 0.5, "feedback": True}
    assert [body["settings"] for body in opened] == [travels, {}, {}]
    for words, expected in [
        (["--select", str(stranger)], "device 'dev-77' is not a claimed device of the fleet"),
        (["--select", "SELECT ?device { ?device a ek:Nothing }"], "query for devices gives none"),
        (["--select", "cohort"], "query 'cohort' needs parameter 'since'"),
        (["--board", "mps2_an386"], "no claimed device is a 'mps2_an386', the fleet has host"),
        (["--secure"], "a sum of 2 devices hides none of them"),
        (["--secure", "--board", "host"], "device 'dev-0' does not know secure aggregation"),
        (["--device", "dev-9"], "device 'dev-9' is not a claimed device of the fleet"),
        (["--accept", str(project / "tiny.ekm")], "is not an .npz with 'raw' and 'labels'"),
    ]:
        assert main([*run, *words]) == 1
        assert expected in capsys.readouterr().err
    model_of_a_run(project, capsys)
    assert main(["federate", "run", "beef", *where]) == 1
    assert "image id 'beef' is no release, there are" in capsys.readouterr().err


def model_of_a_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Make a model of the last run's head; the registry knows what it came from."""
    where = ["--project", str(project)]
    out = project / "tuned.ekm"
    assert main(["federate", "export", "1", "--out", str(out), *where]) == 1
    assert "run 1 came without labelled samples; give --accept" in capsys.readouterr().err
    assert main(["federate", "export", "--out", str(out), "--json", *where]) == 0
    made = said(capsys)
    assert read_image(out.read_bytes()).id.hex() == made["image_id"]
    accept = ["--accept", str(project / "accept.npz"), "--min-accuracy", "0"]
    publish = ["update", "publish", str(out), "--board", "host", *accept, *where]
    assert main(publish) == 0
    capsys.readouterr()
    made_from = """SELECT DISTINCT ?device ?base ?strategy {
        ?model dcterms:identifier "%s" ; prov:wasGeneratedBy ?run ; prov:wasDerivedFrom ?base .
        ?run a mls:Run ; prov:used ?base ; mls:hasInput ?setting .
        ?setting mls:hasValue ?strategy .
        ?of ek:ofRun ?run . ?update ek:ofRound ?of ; ek:accepted true ; ek:ofDevice ?device .
        FILTER (?strategy = "fedavg")
    } ORDER BY ?device"""
    assert main(["registry", "query", made_from % made["image_id"], "--json", *where]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]["bindings"]
    assert [row["device"]["value"][-5:] for row in rows] == ["dev-0", "dev-1", "dev-2"]
    assert {row["base"]["value"][-64:] for row in rows} == {read_image(tiny_image()).id.hex()}
    query = ["registry", "query", "head-history", str(made["head_hash"]), "--json", *where]
    assert main(query) == 0
    rows = json.loads(capsys.readouterr().out)["results"]["bindings"]
    assert {row["run"]["value"].rsplit("/", 1)[-1] for row in rows} >= {"3"}


def test_orders_reach_a_rollout_that_is_under_way(
    fleet: LocalFleet, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--project", str(project)]
    with all_of(devices(fleet, project, 1)) as (device,):
        device.close()
        assert publish(project) == 0
        assert main(["rollout", "start", "--board", "host", *where]) == 0
        assert "rollout host-1 started" in capsys.readouterr().out
        wait_until(lambda: device.peer.desired is not None and device.peer.desired.model)
        assert main(["rollout", "pause", "host-1", "--reason", "night", *where]) == 0
        assert main(["rollout", "resume", "host-1", *where]) == 0
        assert main(["rollout", "abort", "host-1", "--reason", "wrong", *where]) == 0
        assert "is halted: aborted: wrong" in capsys.readouterr().out
        wait_until(lambda: (now := device.peer.desired) is not None and now.model is None)
        assert main(["rollout", "status", *where]) == 0
        assert "is halted: aborted: wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rollout", "status"], "is not there; 'edgekit fleet up' makes it"),
        (["federate", "status"], "is not there; 'edgekit fleet up' makes it"),
        (["federate", "run", "ab"], "fleet is not running; 'edgekit fleet up' starts it"),
    ],
)
def test_folder_without_a_fleet_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert main([*words, "--project", str(tmp_path)]) == 1
    assert expected in capsys.readouterr().err
    assert not (tmp_path / ".edgekit").exists()


def test_wave_that_is_none_is_wrong_usage(
    project: Path, fleet: LocalFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(project) == 0
    for wave in ("0", "-1", "101%", "many"):
        words = ["rollout", "plan", "--board", "host", f"--wave={wave}"]
        assert main([*words, "--project", str(project)]) == 2
        assert "neither a number of devices nor a part" in capsys.readouterr().err
