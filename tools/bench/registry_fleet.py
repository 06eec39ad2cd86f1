"""A synthetic fleet as journal events, and as the N-Quads that the projection makes of them.

Numbers are drawn as fleets are: a few boards carry most devices, a board runs few firmware versions
and few models, and what a device has free follows from the model that runs on it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from edgekit.journal.journal import Event
from edgekit.journal.schema import check_body
from edgekit.registry.facts import Changes
from edgekit.registry.project import project
from edgekit.registry.project_devices import telemetry

BOARDS, MODELS, SITES, FIRMWARES = 200, 1_000, 100, 150
TELEMETRY_SITES = 5
"""Sites whose devices send telemetry; all of their devices do."""

_START_MS = 1_780_000_000_000
_SENSORS = ("accelerometer", "camera", "gyroscope", "humidity", "microphone", "thermometer")
_TASKS = ("anomaly-detection", "audio-classification", "image-classification", "regression")
_OPS = (
    "add",
    "average_pool_2d",
    "conv_2d",
    "depthwise_conv_2d",
    "fully_connected",
    "max_pool_2d",
    "mean",
    "mul",
    "reshape",
    "softmax",
)
_RAM = (65_536, 98_304, 131_072, 262_144, 524_288, 1_048_576)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Sizes of a fleet, and the seed of its numbers."""

    devices: int = 100_000
    seed: int = 0

    def boards(self) -> list[dict[str, Any]]:
        """Return the bodies of the events that describe boards."""
        rng = random.Random(f"boards {self.seed}")
        return [_board(number, rng) for number in range(BOARDS)]

    def models(self) -> list[dict[str, Any]]:
        """Return the bodies of the events that register models."""
        rng = random.Random(f"models {self.seed}")
        return [_model(number, rng) for number in range(MODELS)]

    def events(self) -> Iterator[Event]:
        """Yield everything that the journal would hold, checked as the journal checks it."""
        boards, models = self.boards(), self.models()
        for body in boards:
            yield _event("board.described", body)
        for body in models:
            yield _event("model.registered", body)
        for number in range(self.devices):
            yield _event("device.added", self.added(number, boards))
            yield self.reported(number, boards, models)

    def added(self, number: int, boards: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the body of the event that adds a device."""
        return {
            "device": device_id(number),
            "board": boards[_board_of(number)]["name"],
            "fleet": "bench",
            "site": site_of(number),
        }

    def reported(
        self,
        number: int,
        boards: list[dict[str, Any]],
        models: list[dict[str, Any]],
        *,
        turn: int = 0,
    ) -> Event:
        """Return the report of a device; every tenth `turn` may bring another model."""
        rng = random.Random(f"device {self.seed} {number} {turn if turn % 10 == 0 else 0}")
        board = boards[_board_of(number)]
        # Five of the models run on a board, three firmware versions.
        model = models[(_board_of(number) * 7 + rng.randrange(5)) % MODELS]
        firmware = (_board_of(number) * 3 + rng.randrange(3)) % FIRMWARES
        body = {
            "device": device_id(number),
            "boot": rng.randrange(1, 40),
            "board": board["name"],
            "firmware": f"1.{firmware // 10}.{firmware % 10}",
            "kernel_set_hash": board["kernel_set_hash"],
            "active_image": model["image_id"],
            "counter": 0,
            "update": {"state": "idle", "image": None, "status": 0, "counter": 0},
            "ram_free": max(0, board["arena_bytes"] - model["arena_bytes"]),
            "slot_free": board["slot_bytes"],
            "federated": {"run": 0, "round": 0, "state": "idle", "status": 0},
            "head_hash": None,
            "uptime_s": rng.randrange(1_000_000) + turn,
            "desired_version": 0,
        }
        return _event("device.reported", body, _START_MS + rng.randrange(86_400_000) + turn * 1_000)

    def changes(self) -> Iterator[Changes]:
        """Yield the graphs of the projection, telemetry last."""
        for event in self.events():
            yield project(event)
        rng = random.Random(f"telemetry {self.seed}")
        for number in range(self.devices):
            if number % SITES < TELEMETRY_SITES:
                at = _START_MS + rng.randrange(86_400_000)
                yield telemetry(device_id(number), at, {"temperature": rng.gauss(20.0, 5.0)})

    def write(self, path: Path) -> int:
        """Write the projection as N-Quads, once each; return how many."""
        count = 0
        written: set[str] = set()
        with path.open("wb") as file:
            for changes in self.changes():
                for graph, quads in changes.items():
                    if graph.value.startswith(_SHARED):
                        if graph.value in written:
                            continue
                        written.add(graph.value)
                    count += len(quads)
                    file.write(ox.serialize(quads, format=ox.RdfFormat.N_QUADS) or b"")
        return count


_SHARED = "https://w3id.org/edgekit/graph/configuration/"


def device_id(number: int) -> str:
    """Return the id of a device."""
    return f"device-{number:07d}"


def site_of(number: int) -> str:
    """Return the site of a device."""
    return f"site-{number % SITES:03d}"


def _board_of(number: int) -> int:
    """Return the number of a device's board: half of the devices share a tenth of the boards."""
    place = number // SITES
    return place % (BOARDS // 10) if number % 2 else place % BOARDS


def _board(number: int, rng: random.Random) -> dict[str, Any]:
    ram = rng.choice(_RAM)
    kernels = sorted(rng.sample(_OPS, rng.choice((6, 8, 10))))
    return {
        "name": f"board_{number:03d}",
        "chip": f"chip_{number % 40:02d}",
        "core": rng.choice(("cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m55")),
        "clock_hz": rng.choice((64, 100, 216, 480)) * 1_000_000,
        "ram_bytes": ram,
        "flash_bytes": ram * 4,
        "slot_bytes": ram * 3 // 2,
        "arena_bytes": ram // 2,
        "has_fpu": True,
        "support": "built",
        "sensors": sorted(rng.sample(_SENSORS, rng.randrange(1, 7))),
        "kernel_set_hash": f"{number % 12:016x}",
        "kernel_ops": kernels,
    }


def _model(number: int, rng: random.Random) -> dict[str, Any]:
    arena = int(2 ** rng.uniform(11, 18))
    flash = int(2 ** rng.uniform(13, 20))
    return {
        "name": f"model-{number // 4}",
        "version": str(number % 4 + 1),
        "image_id": f"{rng.getrandbits(256):064x}",
        "image_bytes": flash * 9 // 10,
        "arena_bytes": arena,
        "flash_bytes": flash,
        "macs": flash * 20,
        "ops": sorted(rng.sample(_OPS, rng.randrange(3, 7))),
        "task": rng.choice(_TASKS),
        "labels": ["no", "yes"],
        "license": rng.choice(("Apache-2.0", "MIT")),
        "data_license": "CC-BY-4.0",
        "quantization": "int8",
        "accuracy": {"float": 0.95, "int8": round(rng.uniform(0.8, 0.95), 4)},
        "trainable": False,
        "device_class": None,
        "sensors": sorted(rng.sample(_SENSORS, rng.randrange(1, 3))),
    }


def _event(kind: str, body: dict[str, Any], time_ms: int = _START_MS) -> Event:
    check_body(kind, body, has_blob=False)
    return Event(0, time_ms, kind, "", "bench", body, None, "", "")
