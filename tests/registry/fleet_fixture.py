"""A small fleet as journal events: four boards, five models, six devices, rollouts and a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.journal.journal import Event, Journal
from edgekit.link.messages import Manifest

KERNELS = "0123456789abcdef"
OPS = ["conv_2d", "fully_connected", "softmax"]


def image_id(number: int) -> str:
    return f"{number:02x}" * 32


DIGITS_1, DIGITS_2, KEYWORDS, FUSION, LARGE = (image_id(number) for number in range(1, 6))


def board(name: str, **changes: Any) -> dict[str, Any]:
    body = {
        "name": name,
        "chip": f"{name}_chip",
        "core": "cortex-m4",
        "clock_hz": 64_000_000,
        "ram_bytes": 262_144,
        "flash_bytes": 1_048_576,
        "slot_bytes": 393_216,
        "arena_bytes": 131_072,
        "has_fpu": True,
        "support": "emulated",
        "sensors": ["camera"],
        "kernel_set_hash": KERNELS,
        "kernel_ops": OPS,
    }
    return body | changes


def model(image: str, name: str, version: str = "1", **changes: Any) -> dict[str, Any]:
    body = {
        "name": name,
        "version": version,
        "image_id": image,
        "image_bytes": 61_440,
        "arena_bytes": 18_432,
        "flash_bytes": 90_000,
        "macs": 310_000,
        "ops": ["conv_2d", "fully_connected"],
        "task": "image-classification",
        "labels": ["0", "1"],
        "license": "Apache-2.0",
        "data_license": "CC-BY-4.0",
        "quantization": "int8",
        "accuracy": {"float": 0.97, "int8": 0.96},
        "trainable": False,
        "device_class": None,
    }
    return body | changes


LAYERS: dict[str, Any] = {
    "layers": [
        {"name": "c", "op": "conv_2d", "macs": 300_000, "shape": [1, 8, 8, 4], "weight_bytes": 80},
        {"name": "d", "op": "fully_connected", "macs": 10_000, "shape": [1, 10]},
    ],
    "metrics": {"f1": 0.955},
    "dataset": "digits",
    "training": "t1",
    "input_shape": [1, 8, 8, 1],
    "input_type": "int8",
    "output_shape": [1, 10],
    "min_runtime": "0.1.0",
    "kernel_family": "portable",
    "fused": False,
    "weight_bytes": 1_500,
    "weights_sha256": image_id(0xDD),
}


def reported(device: str, image: str | None, **changes: Any) -> dict[str, Any]:
    body = {
        "device": device,
        "boot": 1,
        "board": "cam",
        "firmware": "0.1.0",
        "kernel_set_hash": KERNELS,
        "active_image": image,
        "counter": 1,
        "update": {"state": "idle", "image": None, "status": 0, "counter": 0},
        "ram_free": 150_000,
        "slot_free": 393_216,
        "federated": {"run": 0, "round": 0, "state": "idle", "status": 0},
        "head_hash": image_id(0xAA),
        "uptime_s": 12,
        "desired_version": 0,
    }
    return body | changes


def manifest(image: str, counter: int = 2) -> str:
    return (
        Manifest(
            name="digits",
            version="2",
            counter=counter,
            image_id=bytes.fromhex(image),
            image_bytes=61_440,
            blocks_hash=bytes(32),
            device_class="cam",
            kernel_set_hash=bytes.fromhex(KERNELS),
            arena_bytes=18_432,
            expiry_s=2_000_000_000,
        )
        .encode()
        .hex()
    )


DOCUMENT = b"""
@prefix ek: <https://w3id.org/edgekit/ontology#> .
@prefix schema: <https://schema.org/> .
<https://example.org/board/foreign> a ek:Board ; schema:name "foreign" ;
    ek:ramBytes 65536 ; ek:flashBytes 262144 ; ek:slotBytes 65536 ;
    schema:review [ schema:text "fine" ] .
"""

Story = list[tuple[str, str, dict[str, Any], bytes | None]]


def story() -> Story:
    """Every kind of event at least once, with repeated and out-of-date ones."""
    events: Story = []

    def add(kind: str, subject: str, body: Mapping[str, Any], blob: bytes | None = None) -> None:
        events.append((kind, subject, dict(body), blob))

    add("board.described", "cam", board("cam"))
    add(
        "board.described",
        "imu",
        board("imu", sensors=["accelerometer", "gyroscope"], ram_bytes=131_072),
    )
    add(
        "board.described",
        "mic",
        board("mic", sensors=["microphone"], kernel_ops=["fully_connected"]),
    )
    add(
        "board.described",
        "tiny",
        board(
            "tiny",
            ram_bytes=16_384,
            flash_bytes=262_144,
            slot_bytes=0,
            arena_bytes=0,
            support="data",
            kernel_set_hash=None,
            kernel_ops=None,
            sensors=["accelerometer"],
            has_fpu=False,
        ),
    )
    head = {"trainable": True, "head_features": 32, "head_classes": 10}
    add("model.registered", DIGITS_1, model(DIGITS_1, "digits", **head, **LAYERS))
    add(
        "model.registered",
        DIGITS_2,
        model(
            DIGITS_2,
            "digits",
            "2",
            arena_bytes=28_000,
            accuracy={"float": 0.98, "int8": 0.975},
            derived_from=DIGITS_1,
            run=7,
            sensors=["camera"],
            **head,
        ),
    )
    add(
        "model.registered",
        KEYWORDS,
        model(
            KEYWORDS,
            "keywords",
            task="keyword-spotting",
            device_class="mic",
            accuracy=None,
            sensors=["microphone"],
            license="see LICENSE",
        ),
    )
    add(
        "model.registered",
        FUSION,
        model(FUSION, "fusion", sensors=["accelerometer", "camera"], task="motion"),
    )
    add(
        "model.registered",
        LARGE,
        model(
            LARGE,
            "large",
            arena_bytes=200_000,
            image_bytes=500_000,
            flash_bytes=600_000,
            ops=["conv_2d", "lstm"],
        ),
    )
    for device, on in (
        ("d1", "cam"),
        ("d2", "cam"),
        ("d3", "cam"),
        ("d4", "imu"),
        ("d5", "cam"),
        ("d6", "mic"),
    ):
        add("device.added", device, {"device": device, "board": on, "fleet": "demo"})
        add("device.claimed", device, {"device": device, "token": "00" * 8})
    for device in ("d1", "d2", "d3", "d5"):
        add("device.presence", device, {"device": device, "state": "online", "boot": 1})
    add("device.presence", "d4", {"device": "d4", "state": "online", "boot": 1})
    add("device.presence", "d4", {"device": "d4", "state": "lost", "boot": 1})
    add("device.reported", "d1", reported("d1", None))
    add("device.reported", "d1", reported("d1", DIGITS_1, uptime_s=30))
    add("device.reported", "d2", reported("d2", DIGITS_1))
    add("device.reported", "d3", reported("d3", DIGITS_1, ram_free=9_000))
    add("device.reported", "d4", reported("d4", DIGITS_1, board="imu", kernel_set_hash="ff" * 8))
    add(
        "device.reported",
        "d5",
        reported(
            "d5", DIGITS_1, federated={"run": 7, "round": 1, "state": "training", "status": 0}
        ),
    )
    add("device.revoked", "d5", {"device": "d5", "reason": "stolen"})
    add(
        "release.published",
        DIGITS_2,
        {
            "image_id": DIGITS_2,
            "name": "digits",
            "version": "2",
            "counter": 2,
            "device_class": "cam",
            "manifest": manifest(DIGITS_2),
            "signature": "00" * 64,
            "accuracy": 0.975,
        },
    )
    add(
        "release.refused",
        LARGE,
        {
            "image_id": LARGE,
            "name": "large",
            "version": "1",
            "reason": "accuracy 0.4",
            "minimum": 0.9,
        },
    )
    task = {"run": 7, "round": 1}
    add(
        "device.desired",
        "d1",
        {"device": "d1", "version": 1, "manifest": manifest(DIGITS_2), "signature": "00" * 64},
    )
    add("device.desired", "d2", {"device": "d2", "version": 1, "manifest": None, "task": task})
    rollout = {"rollout": "r1", "image_id": DIGITS_2, "counter": 2, "waves": [1], "devices": ["d1"]}
    add("rollout.started", "r1", rollout)
    add("rollout.wave", "r1", {"rollout": "r1", "wave": 0, "devices": ["d1"]})
    add("rollout.paused", "r1", {"rollout": "r1", "reason": "operator"})
    add("rollout.resumed", "r1", {"rollout": "r1", "reason": "operator"})
    add("rollout.paused", "r1", {"rollout": "r1", "reason": "night"})
    add("rollout.started", "r0", rollout | {"rollout": "r0", "devices": ["d2"]})
    add(
        "rollout.device",
        "r0",
        {"rollout": "r0", "device": "d2", "result": "refused", "status": -14},
    )
    add("rollout.halted", "r0", {"rollout": "r0", "reason": "1 of 1 refused"})
    add("rollout.started", "r9", rollout | {"rollout": "r9", "devices": ["d3"]})
    add("rollout.finished", "r9", {"rollout": "r9", "reason": "all waves done"})
    add(
        "federated.opened",
        "7",
        {
            "run": 7,
            "base_image": DIGITS_1,
            "strategy": "fedavg",
            "rounds": 2,
            "devices": ["d2", "d3"],
            "epochs": 1,
            "rate": 0.05,
        },
    )
    add(
        "federated.round_opened",
        "7",
        {
            "run": 7,
            "round": 1,
            "base_hash": image_id(0xAA),
            "devices": ["d2", "d3"],
            "deadline_s": 30,
        },
    )
    add(
        "federated.update",
        "7",
        {
            "run": 7,
            "round": 1,
            "device": "d2",
            "samples": 40,
            "accepted": True,
            "loss_first": 2.1,
            "loss_last": 0.5,
        },
        b"update",
    )
    add(
        "federated.update",
        "7",
        {
            "run": 7,
            "round": 1,
            "device": "d3",
            "samples": 40,
            "accepted": False,
            "reason": "norm 99",
        },
        b"other",
    )
    for phase, more in (("keys", {}), ("masked", {"accepted": False, "reason": "late"})):
        asked: dict[str, object] = {"run": 7, "round": 1, "phase": phase, "device": "d1"}
        add("federated.secure_answer", "7", asked | {"accepted": True} | more)
    members: dict[str, object] = {"members": ["d2"], "after_s": 1.5}
    add("federated.secure_phase", "7", {"run": 7, "round": 1, "phase": "shares"} | members)
    add(
        "federated.round_closed",
        "7",
        {
            "run": 7,
            "round": 1,
            "accepted": ["d2"],
            "rejected": 1,
            "head_hash": image_id(0xBB),
            "accuracy": 0.87,
        },
        b"head",
    )
    add(
        "federated.finished",
        "7",
        {"run": 7, "rounds": 1, "head_hash": image_id(0xBB), "reason": "target reached"},
    )
    add(
        "dataset.described",
        "digits",
        {
            "name": "digits",
            "version": "1",
            "license": "CC-BY-4.0",
            "source": "UCI",
            "task": "image-classification",
            "rows": 1797,
            "classes": 10,
            "sensors": ["camera"],
            "sites": ["lab"],
            "sha256": image_id(0xCC),
        },
    )
    add(
        "training.finished",
        "t1",
        {
            "run": "t1",
            "datasets": ["digits"],
            "image_id": DIGITS_1,
            "task": "image-classification",
            "seed": 7,
            "software": "edgekit 0.1.0",
            "started_ms": 1_700_000_000_000,
            "settings": {"epochs": 20, "rate": 0.01, "optimizer": "adam"},
        },
    )
    add(
        "benchmark.measured",
        DIGITS_1,
        {
            "image_id": DIGITS_1,
            "board": "cam",
            "measured_by": "bench",
            "latency_us": 12_400,
            "energy_uj": 810,
            "peak_ram_bytes": 30_208,
            "instructions": 1_180_000,
            "tool_version": "0.1.0",
        },
    )
    add(
        "document.loaded",
        "https://w3id.org/edgekit/graph/document/foreign",
        {
            "graph": "https://w3id.org/edgekit/graph/document/foreign",
            "media_type": "text/turtle",
            "source": "foreign.ttl",
        },
        DOCUMENT,
    )
    return events


def write_journal(root: Path, events: Story | None = None) -> Journal:
    journal = Journal.open(root)
    for kind, subject, body, blob in story() if events is None else events:
        journal.append(kind, subject, body, blob=blob)
    return journal


def plain_events(events: Story | None = None) -> list[tuple[Event, bytes | None]]:
    return [
        (Event(seq, 1_700_000_000_000 + seq, kind, subject, "test", body, None, "", ""), blob)
        for seq, (kind, subject, body, blob) in enumerate(story() if events is None else events, 1)
    ]
