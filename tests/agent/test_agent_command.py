"""`edgekit fleet add --credentials` and `edgekit agent`: what is read, written and refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fleet.peer import wait_until

from edgekit.agent.credentials import load_credentials, parse_broker
from edgekit.agent.machine import Machine
from edgekit.agent.samples import read_samples
from edgekit.cli.main import main
from edgekit.errors import ConfigError, EdgekitError, FormatError, SecurityError
from edgekit.flash.flash_image import encode_samples
from edgekit.service.local import LocalFleet


@pytest.fixture
def credentials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "pi.json"
    words = ["fleet", "add", "pi", "--board", "host", "--project", str(tmp_path)]
    assert main([*words, "--credentials", str(path), "--ops", "vision"]) == 0
    assert f"its credentials are in {path}" in capsys.readouterr().out
    return path


def test_credentials_are_private_and_read_back(credentials: Path) -> None:
    assert credentials.stat().st_mode & 0o777 == 0o600
    known = load_credentials(credentials)
    assert (known.device, known.board, known.fleet, known.broker) == ("pi", "host", "default", "")
    assert known.password not in repr(known)
    assert not (credentials.parent / ".edgekit" / "provision").exists()


def test_damaged_credentials_are_one_line(credentials: Path) -> None:
    value = json.loads(credentials.read_text())
    for changes, line in [
        ({"token": "zz"}, "non-hexadecimal"),
        ({"secret": "00"}, "expected 8, 32, 32, 8"),
        ({"device": "A b"}, "device is no name"),
        ({"password": 3}, "every value is text"),
        ({"more": "x"}, "expected"),
    ]:
        credentials.write_text(json.dumps(value | changes))
        with pytest.raises(ConfigError, match=line):
            load_credentials(credentials)
    credentials.write_text("{")
    with pytest.raises(ConfigError, match="is no JSON"):
        load_credentials(credentials)
    credentials.chmod(0o644)
    with pytest.raises(SecurityError, match="can be read by others"):
        load_credentials(credentials)
    for text in ("host", "host:", ":1", "host:70000"):
        with pytest.raises(ConfigError, match="is not HOST:PORT"):
            parse_broker(text)


def test_boot_counter_rises_and_the_claim_key_stays(credentials: Path, tmp_path: Path) -> None:
    known, folder = load_credentials(credentials), tmp_path / "state"
    first = Machine(known, folder).identity()
    again = Machine(known, folder)
    assert (again.identity().boot, again.identity().private) == (2, first.private)
    again.keep_key(b"k" * 32)
    assert Machine(known, folder).identity().key == b"k" * 32
    assert (folder / "state.json").stat().st_mode & 0o777 == 0o600
    (folder / "state.json").write_text('{"boot": -1}')
    with pytest.raises(FormatError, match="is not the state of an agent"):
        Machine(known, folder)


def test_samples_are_read_as_boards_hold_them(tmp_path: Path) -> None:
    path, raw = tmp_path / "s", np.arange(12, dtype=np.uint8).reshape(3, 4)
    path.write_bytes(encode_samples([1, 2, 300], raw))
    read, labels = read_samples(path)
    assert np.array_equal(read, raw)
    assert labels.tolist() == [1, 2, 300]
    for data, line in [(b"x", "expected samples"), (b"EKSX" + bytes(16), "begins with")]:
        path.write_bytes(data)
        with pytest.raises(EdgekitError, match=line):
            read_samples(path)
    path.write_bytes(encode_samples([1], raw[:1])[:-1])
    with pytest.raises(FormatError, match="its header says"):
        read_samples(path)


@pytest.mark.broker
def test_command_claims_and_leaves(tmp_path: Path) -> None:
    with LocalFleet(root=tmp_path / ".edgekit", fleet="default") as fleet:
        path = tmp_path / "pi.json"
        words = ["fleet", "add", "pi", "--board", "host", "--project", str(tmp_path)]
        assert main([*words, "--credentials", str(path)]) == 0
        server = fleet.server
        process = subprocess.Popen(
            [sys.executable, "-m", "edgekit", "agent", str(path), "--json"], stdout=subprocess.PIPE
        )
        try:
            wait_until(
                lambda: bool(server.call(lambda: (v := server.devices().get("pi")) and v.reported)),
                60,
            )
            view = server.call(lambda: server.devices()["pi"])
            assert view.reported is not None
            assert (view.boot, view.reported.board, view.claimed) == (1, "host", True)
            wait_until(
                lambda: server.call(lambda: server.devices()["pi"]).presence.value == "online", 60
            )
            os.kill(process.pid, signal.SIGTERM)
            out, _ = process.communicate(timeout=60)
            assert json.loads(out.splitlines()[-1])["claimed"]
            wait_until(
                lambda: server.call(lambda: server.devices()["pi"]).presence.value == "offline", 60
            )
        finally:
            process.kill()
            process.wait()
