"""What makes a Linux machine one particular device: a file that only its owner may read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.errors import ConfigError, SecurityError, StoreError
from edgekit.fleet.identity import Token
from edgekit.link.mqtt import BrokerAddress
from edgekit.link.topics import is_device_id

KEYS = (
    *("device", "board", "fleet", "kernels", "broker", "password"),
    *("token", "secret", "release_key"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who a device is, where its broker is, and whom it trusts.

    Attributes:
        kernels: Hash of the kernel set that its releases are made for.
        broker: Where the broker listens, `HOST:PORT`; empty: to be said at the start.
        password: Of the broker; the user is the device.
        release_key: Ed25519 public key that releases must be signed with.
    """

    device: str
    board: str
    fleet: str
    kernels: bytes
    broker: str
    password: str = field(repr=False)
    token: Token = field(repr=False)
    release_key: bytes

    def write(self, path: Path) -> None:
        """Write the file, for its owner only.

        Raises:
            StoreError: If it cannot be written.
        """
        said = {name: getattr(self, name) for name in KEYS if name not in ("token", "secret")}
        said |= {"token": self.token.id.hex(), "secret": self.token.secret.hex()}
        said |= {"release_key": self.release_key.hex(), "kernels": self.kernels.hex()}
        write_private(path, json.dumps(said, indent=1).encode())


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Raises:
        StoreError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be written: {exc.strerror}") from exc


def load_credentials(path: Path) -> Credentials:
    """Read the file that 'edgekit fleet add --credentials' wrote.

    Raises:
        ConfigError: If it cannot be read, or is not such a file.
        SecurityError: If others may read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise SecurityError(f"{path}: can be read by others, expected mode 0600 (chmod 600)")
        value = json.loads(path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigError(f"{path}: is no JSON: {exc}") from exc
    if not isinstance(value, dict) or set(value) != set(KEYS):
        found = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise ConfigError(f"{path}: holds {found}, expected {sorted(KEYS)}")
    return _credentials(path, value)


def _credentials(path: Path, value: dict[str, Any]) -> Credentials:
    try:
        if not all(isinstance(item, str) for item in value.values()):
            raise ValueError("every value is text")
        token = Token(bytes.fromhex(value["token"]), bytes.fromhex(value["secret"]))
        release_key = bytes.fromhex(value["release_key"])
        kernels = bytes.fromhex(value["kernels"])
        lengths = len(token.id), len(token.secret), len(release_key), len(kernels)
        if lengths != (8, 32, 32, 8):
            raise ValueError(
                f"token, secret, release key, kernels have {lengths} bytes, expected 8, 32, 32, 8"
            )
        for name in ("device", "fleet"):
            if not is_device_id(value[name]):
                raise ValueError(f"{name} is no name of 1 to 32 characters of a-z 0-9 _ -")
    except ValueError as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    rest = {name: value[name] for name in ("device", "board", "fleet", "broker", "password")}
    return Credentials(**rest, kernels=kernels, token=token, release_key=release_key)


def parse_broker(text: str) -> BrokerAddress:
    """Read `HOST:PORT`.

    Raises:
        ConfigError: If it is of another form.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigError(f"broker {text!r} is not HOST:PORT")
    return BrokerAddress(host, int(port))
