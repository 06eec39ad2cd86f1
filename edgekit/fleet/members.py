"""Who belongs to a fleet: devices enter and leave store, journal, broker and gateway together."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import ConfigError
from edgekit.fleet.broker import reload_running
from edgekit.fleet.store import CREDENTIALS, DeviceRecord, FleetStore, write_credentials
from edgekit.journal import Journal


def enrol(root: Path, store: FleetStore, journal: Journal, device: str, board: str) -> DeviceRecord:
    """Give a device a one-use token and a password; a running broker and gateway know it at once.

    Raises:
        ConfigError: If the name is not a device id, or reserved.
        StoreError: If something cannot be written.
    """
    record = store.add_device(device, board)
    body = {"device": device, "board": board, "fleet": store.fleet}
    journal.append("device.added", device, body)
    publish_passwords(root, store)
    return record


def dismiss(root: Path, store: FleetStore, journal: Journal, device: str, reason: str) -> None:
    """Take key, token and password from a device; its connection ends.

    Raises:
        ConfigError: If it is not in the fleet.
        StoreError: If something cannot be written.
    """
    if store.device(device) is None:
        raise ConfigError(f"device '{device}' is not in fleet '{store.fleet}'")
    journal.append("device.revoked", device, {"device": device, "reason": reason})
    store.revoke(device)
    publish_passwords(root, store)


def publish_passwords(root: Path, store: FleetStore) -> None:
    """Write the passwords where gateway and private broker read them."""
    write_credentials(store, root / CREDENTIALS)
    reload_running(root, store.passwords())
