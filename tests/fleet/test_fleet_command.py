"""`edgekit fleet`, as a user types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fleet.peer import Peer, wait_until
from typer.testing import CliRunner

from edgekit.boards import load_board
from edgekit.cli.fleet import fleet_app
from edgekit.errors import ConfigError
from edgekit.flash.flash_image import FlashImage
from edgekit.fleet.identity import Token
from edgekit.fleet.provision import PAGE_BYTES, Provision
from edgekit.journal import Journal


def _call(project: Path, *arguments: str) -> str:
    result = CliRunner().invoke(
        fleet_app, [*arguments, "--project", str(project)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_device_is_added_listed_shown_and_revoked(tmp_path: Path) -> None:
    flash = tmp_path / "d.bin"
    added = json.loads(
        _call(tmp_path, "add", "d-1", "--board", "mps2_an386", "--flash", str(flash), "--json")
    )
    image = FlashImage(flash, load_board("mps2_an386"))
    page = Provision.decode(image.read("provision", 0, PAGE_BYTES))
    assert (page.device, page.gateway_host, page.gateway_port) == ("d-1", "10.0.2.2", 5_690)
    assert page.token_id.hex() == added["token"]
    assert page.release_key != bytes(32)
    assert "d-1" in _call(tmp_path, "ls")
    assert json.loads(_call(tmp_path, "show", "d-1", "--json"))["state"] == "unclaimed"
    _call(tmp_path, "revoke", "d-1", "--reason", "stolen")
    assert json.loads(_call(tmp_path, "ls", "--json"))[0]["state"] == "revoked"
    with Journal.open(tmp_path / ".edgekit/journal.db") as journal:
        kinds = [(event.kind, event.subject) for event in journal.events()]
    assert kinds == [("device.added", "d-1"), ("device.revoked", "d-1")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls"], "holds no fleet"),
        (["add", "server", "--board", "host"], "the server's own name"),
        (["add", "UP", "--board", "host"], "is not 1 to 32 characters"),
        (["add", "a", "--board", "host", "--gateway", "nowhere"], "is not an IPv4 address"),
        (["add", "a", "--board", "unknown"], "unknown"),
        (["revoke", "a"], "holds no fleet"),
    ],
)
def test_wrong_use_is_a_typed_error(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _call(tmp_path, *arguments)


@pytest.mark.broker
def test_fleet_comes_up_serves_a_device_added_meanwhile_and_ends_with_ctrl_c(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", "from edgekit.cli.fleet import fleet_app; fleet_app()"]
    command += ["up", "--port", "0", "--project", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.split("UDP 127.0.0.1:")[1].split(",")[0])
        gateway = f"127.0.0.1:{port}"
        _call(tmp_path, "add", "d-1", "--board", "host", "--gateway", gateway)
        page = Provision.decode((tmp_path / ".edgekit/provision/d-1.page").read_bytes())
        with Peer("d-1", Token(page.token_id, page.token_secret), page.gateway_port) as peer:
            peer.join()
            peer.report()
            wait_until(lambda: json.loads(_call(tmp_path, "ls", "--json"))[0]["state"] == "online")
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
        assert process.stdout.read().endswith("stopped\n")
    assert not (tmp_path / ".edgekit/broker").exists()
