"""Samples stay on the devices: not in the server's memory, messages, journal or files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from firmware.tiny_model import TABLE, labelled_samples, tiny_image

from edgekit.boards import load_board
from edgekit.export.mcu import build_firmware
from edgekit.flash.flash_image import encode_samples
from edgekit.flash.virtual import VirtualDevice
from edgekit.ops import kernel_set
from edgekit.runtime import Runner

pytestmark = [pytest.mark.broker, pytest.mark.cc]

DEVICES = ("left", "right")
SAMPLES = 60
PAGE = 4096
SERVER = Path(__file__).with_name("privacy_server.py")


def memory_of(pid: int) -> Iterable[bytes]:
    """Yield every piece of a process's memory that it can write: its data, not its code."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="ascii").splitlines()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("r") or "[v" in line:  # [vvar], [vsyscall] cannot be read
                continue
            begin, end = (int(part, 16) for part in span.split("-"))
            memory.seek(begin)
            piece = bytearray()
            while len(piece) < end - begin:
                more = memory.read(min(1 << 24, end - begin - len(piece)))
                if not more:
                    break
                piece += more
            yield from filled(bytes(piece))


def filled(piece: bytes) -> Iterable[bytes]:
    """Yield the runs of pages that are not all zero: most of a process was never touched."""
    used = np.frombuffer(piece, np.uint8).reshape(-1, PAGE).any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], used, [False])).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2).tolist():
        yield piece[begin * PAGE : end * PAGE]


def listen(port: int, heard: list[bytes]) -> mqtt.Client:
    """Record every message of the fleet."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="witness")
    client.username_pw_set("witness", "witness")
    client.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
    subscribed = threading.Event()
    client.on_connect = lambda witness, *_: witness.subscribe("ek/1/privacy/#")
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert subscribed.wait(30)
    return client


def test_no_sample_reaches_the_server(tmp_path: Path) -> None:
    image = tiny_image()
    (tmp_path / "base.ekm").write_bytes(image)
    agent = build_firmware(load_board("host"), ops=kernel_set("all"), out=tmp_path / "agent")
    secret: dict[str, set[bytes]] = {"raw": set(), "input": set(), "features": set()}
    runner = Runner(image)
    for number, device in enumerate(DEVICES):
        raw, labels = labelled_samples(SAMPLES, seed=20 + number)
        (tmp_path / f"{device}.samples").write_bytes(encode_samples(labels, raw))
        secret["raw"] |= {row.tobytes() for row in raw}
        secret["input"] |= {row.tobytes() for row in TABLE[raw]}
        secret["features"] |= {row.tobytes() for row in runner.features(TABLE[raw])}
    heard: list[bytes] = []
    with ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(
                [sys.executable, str(SERVER), str(tmp_path), str(tmp_path / "base.ekm"), *DEVICES],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(server.kill)
        assert server.stdin is not None and server.stdout is not None
        ready = json.loads(server.stdout.readline())
        witness = listen(ready["port"], heard)
        stack.callback(witness.loop_stop)
        stack.callback(witness.disconnect)
        for device in DEVICES:
            stack.enter_context(
                VirtualDevice(
                    agent.elf,
                    tmp_path / f"{device}.flash",
                    samples=tmp_path / f"{device}.samples",
                    log=tmp_path / f"{device}.log",
                )
            )
        server.stdin.write("go\n")
        server.stdin.flush()
        learned = json.loads(server.stdout.readline())
        assert learned == {"stage": "learned", "finished": True, "accepted": [2, 2]}
        memory = list(memory_of(server.pid))
        opened = {path.resolve() for path in Path(f"/proc/{server.pid}/fd").iterdir()}
        server.stdin.write("end\n")
        server.stdin.flush()
        assert server.wait(30) == 0
    files = [path for path in (tmp_path / ".edgekit").rglob("*") if path.is_file()]
    stored = [path.read_bytes() for path in files]
    # What must be there is there, so the search can find things.
    updates = [path.read_bytes() for path in files if path.read_bytes()[:4] == b"EKUP"]
    assert len(updates) == 2 * len(DEVICES)
    assert any(image in piece for piece in memory)
    assert all(any(update[72:1000] in payload for payload in heard) for update in updates)
    for kind, needles in secret.items():
        for where, haystack in (("memory", memory), ("messages", heard), ("files", stored)):
            found = sum(needle in piece for needle in needles for piece in haystack)
            assert found == 0, f"{found} {kind} samples are in the server's {where}"
    assert not [path for path in opened if path.suffix in (".samples", ".flash")]
    assert np.unique(list(secret["features"])).size > SAMPLES
