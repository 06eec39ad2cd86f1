"""What a gateway is told: its configuration, and the file of the devices' passwords."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import ConfigError

logger = logging.getLogger(__name__)

SILENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """What a gateway needs to know.

    Attributes:
        credentials: JSON file {device: password}; read again when it changes.
        outbox: SQLite file of the gateway's own.
        port: UDP port, 0 for a free one.
    """

    fleet: str
    broker_host: str
    broker_port: int
    credentials: Path
    outbox: Path
    host: str = "127.0.0.1"
    port: int = 0
    silence_s: float = SILENCE_S


def load_config(path: Path) -> GatewayConfig:
    """Read a configuration, a JSON object with the fields of GatewayConfig.

    Raises:
        ConfigError: If it cannot be read or has other keys.
    """
    try:
        value: dict[str, Any] = json.loads(path.read_text())
        for name in ("credentials", "outbox"):
            value[name] = path.parent / value[name]
        return GatewayConfig(**value)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc


class Credentials:
    """The file of passwords, read again when it has changed; it is replaced whole by its writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._passwords: dict[str, str] = {}
        self._read()

    def __len__(self) -> int:
        return len(self._passwords)

    def password(self, device: str) -> str | None:
        """Return the password of a device, None if it has none."""
        try:
            self._read()
        except ConfigError as exc:
            logger.error("%s; the passwords read before stay in use", exc)
        return self._passwords.get(device)

    def _read(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp == self._stamp:
                return
            value = json.loads(self._path.read_text())
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{self._path}: cannot read credentials: {exc}") from exc
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise ConfigError(f"{self._path}: expected an object of device and password")
        self._stamp, self._passwords = stamp, value
