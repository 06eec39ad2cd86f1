"""`edgekit fleet`: broker, gateway and server of a project, and the devices that belong to it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from edgekit.boards import Board
    from edgekit.fleet.provision import Provision
    from edgekit.fleet.store import DeviceRecord
    from edgekit.journal import Journal
    from edgekit.service.local import LocalFleet

fleet_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Run a fleet and enrol its devices."
)

UDP_PORT = 5690
_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@fleet_app.command("up")
def up(
    project: Path = _PROJECT,
    fleet: str = typer.Option("default", "--fleet", help="Name of the fleet."),
    port: int = typer.Option(UDP_PORT, "--port", help="UDP port for devices, 0 for a free one."),
    broker_port: int = typer.Option(
        0, "--broker-port", help="Port of the broker, 0 for a free one."
    ),
) -> None:
    """Run broker, gateway and server until Ctrl-C.

    Devices learn by themselves if the project's edgekit.toml has [learn] steps_per_minute.

    Example: edgekit fleet up --project my_project
    """
    import logging
    import signal
    import sys
    import threading

    from edgekit.config import FILE_NAME, load_config
    from edgekit.fleet.handles import allow_connections
    from edgekit.service.federated import FederatedDriver
    from edgekit.service.local import LocalFleet
    from edgekit.service.rollouts import RolloutDriver
    from edgekit.service.wishes import learning_of

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.set())
    config = project / FILE_NAME
    room = allow_connections(_enrolled(project / ".edgekit"))
    running = LocalFleet(
        root=project / ".edgekit",
        fleet=fleet,
        udp_port=port,
        broker_port=broker_port,
        learning=learning_of(load_config(project).learn) if config.is_file() else None,
    )
    with running:
        RolloutDriver(running.server)
        FederatedDriver(running.server)
        address = running.broker.address
        print(
            f"fleet '{fleet}': devices on UDP 127.0.0.1:{running.gateway.port},"
            f" broker on {address.host}:{address.port}; Ctrl-C ends it",
            flush=True,
        )
        last = ""
        while not stopped.wait(1.0):
            running.check()
            line = _status_line(running, room)
            if sys.stdout.isatty():
                print(f"\r\x1b[K{line}", end="", flush=True)
            elif line != last:
                print(line, flush=True)
            last = line
        if sys.stdout.isatty():
            print()
    print("stopped")


@fleet_app.command("add")
def add(
    device: str = typer.Argument(..., help="1 to 32 characters of a-z 0-9 _ -"),
    board: str = typer.Option(..., "--board", help="Name of the board."),
    project: Path = _PROJECT,
    fleet: str | None = typer.Option(None, "--fleet", help="Name of the fleet, if there is none."),
    gateway: str | None = typer.Option(
        None, "--gateway", help="HOST:PORT as the device sees it; default by board."
    ),
    page: Path | None = typer.Option(None, "--page", help="Write the provisioning page here."),
    flash: Path | None = typer.Option(None, "--flash", help="Write it into this flash file."),
    credentials: Path | None = typer.Option(
        None, "--credentials", help="Write what 'edgekit agent' needs here, and no page."
    ),
    ops: str | None = typer.Option(
        None, "--ops", help="Kernel set of the releases for that agent; default of the project."
    ),
    as_json: bool = _JSON,
) -> None:
    """Enrol a device: a one-use token, a broker credential and its provisioning page.

    Example: edgekit fleet add board-1 --board mps2_an386 --flash board-1.bin
    """
    import secrets

    from edgekit.boards import load_board
    from edgekit.flash.flash_image import FlashImage
    from edgekit.fleet.manifests import release_key
    from edgekit.fleet.members import enrol
    from edgekit.fleet.provision import Provision
    from edgekit.fleet.store import FleetStore
    from edgekit.journal import Journal

    root = project / ".edgekit"
    target = load_board(board)
    host, port = _gateway(gateway, emulated=target.emulator is not None)
    exists = (root / "keys" / "fleet.db").exists()
    name = fleet if fleet is not None or exists else "default"
    with FleetStore.open(root, fleet=name) as store, Journal.open(root / "journal.db") as journal:
        record = enrol(root, store, journal, device, board)
        content = Provision(
            device=device,
            gateway_host=host,
            gateway_port=port,
            token_id=record.token.id,
            token_secret=record.token.secret,
            release_key=release_key(root / "keys").public,
            entropy=secrets.token_bytes(32),
        )
        name = store.fleet
    where = flash or credentials or page or root / "provision" / f"{device}.page"
    if flash is not None:
        FlashImage(flash, target).write_provision(content.encode())
    if credentials is not None:
        _write_credentials(credentials, project, name, _kernels(project, target, ops), record)
    if (flash is None and credentials is None) or page is not None:
        _write_page(page or where, content)
    if as_json:
        _print_json(
            {
                "device": device,
                "board": board,
                "fleet": name,
                "gateway": f"{host}:{port}",
                "token": record.token.id.hex(),
                "written": str(where),
            }
        )
    else:
        what = "page is" if where != credentials else "credentials are"
        print(f"device '{device}' ({board}) is in fleet '{name}'; its {what} in {where}")


@fleet_app.command("ls")
def ls(project: Path = _PROJECT, as_json: bool = _JSON) -> None:
    """List the devices of a fleet.

    Example: edgekit fleet ls
    """
    import time

    rows = _rows(project / ".edgekit")
    if as_json:
        _print_json(rows)
        return
    print(f"{'device':<20} {'board':<14} {'state':<9} {'boot':>4}  {'image':<12} {'heard':>9}")
    for row in rows:
        reported = row["reported"] or {}
        heard = "never" if row["heard_s"] is None else f"{time.time() - row['heard_s']:.0f} s ago"
        print(
            f"{row['device']:<20} {row['board']:<14} {row['state']:<9} {row['boot']:>4} "
            f" {(reported.get('active_image') or '-')[:12]:<12} {heard:>9}"
        )


@fleet_app.command("show")
def show(
    device: str = typer.Argument(..., help="Device id."),
    project: Path = _PROJECT,
    as_json: bool = _JSON,
) -> None:
    """Show all that is known about a device.

    Example: edgekit fleet show board-1
    """
    from edgekit.errors import ConfigError

    rows = [row for row in _rows(project / ".edgekit") if row["device"] == device]
    if not rows:
        raise ConfigError(f"device '{device}' is not in the fleet of {project / '.edgekit'}")
    if as_json:
        _print_json(rows[0])
        return
    for name, value in rows[0].items():
        if isinstance(value, dict):
            for key, item in value.items():
                print(f"{name + '.' + key:<24} {item}")
        else:
            print(f"{name:<24} {value}")


@fleet_app.command("revoke")
def revoke(
    device: str = typer.Argument(..., help="Device id."),
    reason: str = typer.Option("revoked by hand", "--reason", help="Why; kept in the journal."),
    project: Path = _PROJECT,
) -> None:
    """Take key, token and credential from a device.

    Example: edgekit fleet revoke board-1 --reason stolen
    """
    from edgekit.fleet.members import dismiss
    from edgekit.fleet.store import FleetStore
    from edgekit.journal import Journal

    root = project / ".edgekit"
    with FleetStore.open(root) as store, Journal.open(root / "journal.db") as journal:
        dismiss(root, store, journal, device, reason)
    print(f"device '{device}' is revoked")


def _kernels(project: Path, board: Board, ops: str | None) -> bytes:
    """Return the hash of the kernel set that 'edgekit update publish' makes releases for."""
    from edgekit.config import FILE_NAME, Config, load_config
    from edgekit.ops import kernel_set, kernel_set_hash

    known = (project / FILE_NAME).is_file()
    config = load_config(project) if known else Config(root=project)
    return kernel_set_hash(kernel_set(ops or config.kernels, board.chip.kernel_family))


def _write_credentials(
    path: Path, project: Path, fleet: str, kernels: bytes, record: DeviceRecord
) -> None:
    from edgekit.agent.credentials import Credentials
    from edgekit.fleet.broker import running_broker
    from edgekit.fleet.manifests import release_key

    root = project / ".edgekit"
    broker = running_broker(root)
    Credentials(
        device=record.device,
        board=record.board,
        fleet=fleet,
        kernels=kernels,
        broker="" if broker is None else f"{broker.host}:{broker.port}",
        password=record.password,
        token=record.token,
        release_key=release_key(root / "keys").public,
    ).write(path)


def _enrolled(root: Path) -> int:
    """Return how many devices a fleet has so far."""
    from edgekit.fleet.store import FleetStore

    if not (root / "keys" / "fleet.db").exists():
        return 0
    with FleetStore.open(root) as store:
        return len(store.devices())


def _status_line(running: LocalFleet, room: int) -> str:
    from edgekit.fleet.devices import Presence

    server = running.server
    views = server.call(lambda: list(server.devices().values()))
    online = sum(view.presence is Presence.ONLINE for view in views)
    claimed = sum(view.claimed for view in views)
    broker = "up" if server.is_connected else "away"
    refused = Counter(server.refused) + Counter(running.gateway.refused)
    why = ", ".join(f"{count} {reason.lower()}" for reason, count in refused.most_common())
    full = ""
    if len(views) > room:
        full = f"; open files allow {room} devices, end and start anew"
    return (
        f"{len(views)} devices, {claimed} claimed, {online} online{full};"
        f" broker {broker}; {refused.total()} messages refused{f' ({why})' if why else ''}"
    )


def _gateway(text: str | None, *, emulated: bool) -> tuple[str, int]:
    """Host and port of the gateway as the device sees it; an emulated board sees us as 10.0.2.2."""
    import ipaddress

    from edgekit.errors import ConfigError

    if text is None:
        return ("10.0.2.2" if emulated else "127.0.0.1"), UDP_PORT
    host, separator, port = text.rpartition(":")
    try:
        ipaddress.IPv4Address(host)
        number = int(port) if separator else 0
    except ValueError:
        number = 0
    if not 0 < number < 2**16:
        raise ConfigError(f"gateway {text!r} is not an IPv4 address and a port, as 127.0.0.1:5690")
    return host, number


def _write_page(path: Path, content: Provision) -> None:
    import os

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode())


def _rows(root: Path) -> list[dict[str, Any]]:
    from edgekit.fleet.broker import running_broker
    from edgekit.fleet.devices import reported_body
    from edgekit.fleet.store import FleetStore
    from edgekit.journal import Journal
    from edgekit.link.messages import Reported

    rows = []
    is_up = running_broker(root) is not None
    with FleetStore.open(root) as store, Journal.open(root / "journal.db") as journal:
        presence = _last(journal, "device.presence")
        desired = _last(journal, "device.desired")
        for record in store.devices():
            if record.revoked:
                state = "revoked"
            elif record.claim is None:
                state = "unclaimed"
            else:
                said = presence.get(record.device, {}).get("state", "claimed")
                state = said if is_up else "claimed"
            body = None
            if record.reported is not None:
                body = reported_body(record.device, Reported.decode(record.reported))
            rows.append(
                {
                    "device": record.device,
                    "board": record.board,
                    "state": state,
                    "boot": record.heard_counter >> 32,
                    "token": record.token.id.hex(),
                    "desired_version": desired.get(record.device, {}).get("version", 0),
                    "heard_s": record.reported_s,
                    "reported": body,
                }
            )
    return rows


def _last(journal: Journal, kind: str) -> dict[str, Any]:
    return {event.subject: event.body for event in journal.events(kinds=[kind])}


def _print_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=2))
