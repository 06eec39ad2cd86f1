"""Topics: built and parsed by a walk over their levels, never by a pattern.

ek/1/{fleet}/{device}/{presence|desired|reported|tele|req|rsp|log}
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgekit.link.frames import FrameType
from edgekit.link.status import Status, refuse

ROOT = ("ek", "1")
MAX_NAME_CHARS = 32
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


class Channel(Enum):
    """Last level of a topic."""

    PRESENCE = "presence"
    DESIRED = "desired"
    REPORTED = "reported"
    TELEMETRY = "tele"
    REQUEST = "req"
    RESPONSE = "rsp"
    LOG = "log"


FROM_DEVICE = (
    Channel.PRESENCE,
    Channel.REPORTED,
    Channel.TELEMETRY,
    Channel.REQUEST,
    Channel.LOG,
)
TO_DEVICE = (Channel.DESIRED, Channel.RESPONSE)

CHANNEL_OF_FRAME = {
    FrameType.CLAIM_REQUEST: Channel.REQUEST,
    FrameType.CHUNK_REQUEST: Channel.REQUEST,
    FrameType.CHUNK: Channel.REQUEST,
    FrameType.REPORTED: Channel.REPORTED,
    FrameType.TELEMETRY: Channel.TELEMETRY,
    FrameType.LOG: Channel.LOG,
    FrameType.TEXT_ANSWER: Channel.REQUEST,
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic taken apart."""

    fleet: str
    device: str
    channel: Channel


def is_device_id(name: str) -> bool:
    """Say whether a name is 1 to 32 characters of `a-z 0-9 _ -`.

    >>> is_device_id("board-1"), is_device_id("+"), is_device_id("")
    (True, False, False)
    """
    return 1 <= len(name) <= MAX_NAME_CHARS and all(char in _NAME_CHARS for char in name)


def topic(fleet: str, device: str, channel: Channel) -> str:
    """Build the topic of one channel of one device.

    Raises:
        ValueError: If fleet or device is not a name.
    """
    for name in (fleet, device):
        if not is_device_id(name):
            raise ValueError(f"name {name!r} is not 1 to 32 characters of a-z 0-9 _ -")
    return "/".join((*ROOT, fleet, device, channel.value))


def fleet_filter(fleet: str, channel: Channel) -> str:
    """Build the filter for one channel of all devices of a fleet."""
    return topic(fleet, "any", channel).removesuffix(f"any/{channel.value}") + f"+/{channel.value}"


def parse_topic(name: str) -> Topic:
    """Take a topic apart.

    Raises:
        LinkError: RANGE if it is not one of ours.
    """
    levels = name.split("/", 6) if len(name) <= 128 else []
    if len(levels) != 5 or tuple(levels[:2]) != ROOT:
        raise refuse(Status.RANGE, f"topic {name[:128]!r} is not ek/1/fleet/device/channel")
    fleet, device, last = levels[2:]
    if not is_device_id(fleet) or not is_device_id(device):
        raise refuse(Status.RANGE, f"topic {name!r} holds a name outside a-z 0-9 _ -")
    for channel in Channel:
        if channel.value == last:
            return Topic(fleet, device, channel)
    raise refuse(Status.RANGE, f"topic {name!r} ends in an unknown channel {last!r}")
