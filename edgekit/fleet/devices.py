"""What is known about a device right now, typed; pure, without clock or link."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from edgekit.link.messages import FederatedTask, Reported, SecureTask
from edgekit.link.status import Status, refuse

MAX_PRESENCE_BYTES = 200
BATTERY_STEP_MV = 50
"""A change of a battery's voltage that is worth an event."""
_NO_NEWS = frozenset({"uptime_s", "battery_mv"})


class Presence(Enum):
    """Whether a device is there, as its gateway says; UNKNOWN before it said anything."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    OFFLINE = "offline"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class PresenceReport:
    """One message of the presence topic."""

    boot: int
    state: Presence

    def encode(self) -> bytes:
        """Return its JSON."""
        return json.dumps({"boot": self.boot, "state": self.state.value}).encode()

    @classmethod
    def decode(cls, data: bytes) -> PresenceReport:
        """Read the JSON.

        Raises:
            LinkError: RANGE if it is not exactly a boot counter and a state.
        """
        try:
            value = json.loads(data) if len(data) <= MAX_PRESENCE_BYTES else None
        except ValueError as exc:
            raise refuse(Status.RANGE, f"presence of {len(data)} bytes is not JSON") from exc
        if (
            not isinstance(value, dict)
            or set(value) != {"boot", "state"}
            or type(value["boot"]) is not int
            or not 0 <= value["boot"] < 2**32
            or value["state"] not in ("online", "offline", "lost")
        ):
            raise refuse(Status.RANGE, f"presence of {len(data)} bytes is not {{boot, state}}")
        return cls(value["boot"], Presence(value["state"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """A device as the server sees it.

    Attributes:
        board: As it was enrolled; `reported.board` is what it says itself.
        boot: Boot counter of its last verified message, 0 if there was none.
        reported: Its last verified Reported.
        last_seen_s: Unix seconds of its last verified message, None if there was none.
        desired_version: Version of the newest desired document, 0 if there is none.
    """

    device: str
    board: str
    claimed: bool = False
    revoked: bool = False
    boot: int = 0
    reported: Reported | None = None
    presence: Presence = Presence.UNKNOWN
    presence_boot: int = 0
    last_seen_s: float | None = None
    desired_version: int = 0


def reported_body(device: str, reported: Reported) -> dict[str, Any]:
    """Body of a `device.reported` event."""
    update, federated = reported.update, reported.federated
    more: dict[str, Any] = {}
    if reported.sensors:
        more["sensors"] = list(reported.sensors)
    if reported.battery_mv is not None:
        more["battery_mv"] = reported.battery_mv
    return more | {
        "device": device,
        "boot": reported.boot,
        "board": reported.board,
        "firmware": reported.firmware,
        "kernel_set_hash": reported.kernel_set_hash.hex(),
        "active_image": _hex(reported.active_image),
        "counter": reported.counter,
        "update": {
            "state": update.state.name.lower(),
            "image": _hex(update.image_id),
            "status": int(update.status),
            "counter": update.counter,
        },
        "ram_free": reported.free.ram,
        "slot_free": reported.free.slot,
        "federated": {
            "run": federated.run,
            "round": federated.round,
            "state": federated.state.name.lower(),
            "status": int(federated.status),
        },
        "head_hash": _hex(reported.head_hash),
        "uptime_s": reported.uptime_s,
        "desired_version": reported.desired_version,
    }


def is_news(body: dict[str, Any], before: dict[str, Any] | None) -> bool:
    """Say whether anything but the uptime differs, and of the battery more than a step."""
    if before is None:
        return True
    now, then = body.get("battery_mv", 0), before.get("battery_mv", 0)
    return abs(now - then) >= BATTERY_STEP_MV or any(
        body.get(name) != before.get(name) for name in (body.keys() | before.keys()) - _NO_NEWS
    )


_SAID_IF_ANY = ("codec", "entries", "mu", "local", "feedback")


def task_body(task: FederatedTask) -> dict[str, Any]:
    """A federated task as it stands in a `device.desired` event."""
    body = {
        "run": task.run,
        "round": task.round,
        "base_head_hash": task.base_head_hash.hex(),
        "head_object": task.head_object,
        "head_bytes": task.head_bytes,
        "epochs": task.epochs,
        "rate": task.rate,
        "decay": task.decay,
        "deadline_s": task.deadline_s,
    }
    said = {name: getattr(task, name) for name in _SAID_IF_ANY}
    if task.secure is not None:
        body["secure"] = _secure_body(task.secure)
    return body | {name: value for name, value in said.items() if value}


def task_from_body(body: dict[str, Any]) -> FederatedTask:
    """Undo `task_body`."""
    said = {**body, "base_head_hash": bytes.fromhex(body["base_head_hash"])}
    if "secure" in body:
        found = body["secure"]
        digest = found["input_hash"] and bytes.fromhex(found["input_hash"])
        said["secure"] = SecureTask(**{**found, "input_hash": digest})
    return FederatedTask(**said)


def _secure_body(task: SecureTask) -> dict[str, Any]:
    return {
        "phase": task.phase,
        "input_hash": _hex(task.input_hash),
        "input_bytes": task.input_bytes,
    }


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
