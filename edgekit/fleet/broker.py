"""A private MQTT broker: a Mosquitto process on a free loopback port, with a password per user.

Every device may write and read its own topics only. The broker keeps nothing on disk: what must
survive lies with server and gateway, who publish it again after a restart. A broker that dies is
started again on the same port.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import Self

from edgekit.errors import StoreError, ToolError
from edgekit.fleet.process import start_guarded, stop
from edgekit.fleet.store import SERVER_USER
from edgekit.link.mqtt import BrokerAddress
from edgekit.link.topics import FROM_DEVICE, ROOT, TO_DEVICE, is_device_id

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
_PLACES = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto")
_START_S = 10.0
_RESTARTS = 5  # within _RESTART_WINDOW_S, then it is given up
_RESTART_WINDOW_S = 20.0
_HASH_ROUNDS = 101  # Mosquitto's own default; the passwords have 192 random bits
_RUNNING = "running.json"


def find_mosquitto() -> str:
    """Return the path of the broker program.

    Raises:
        ToolError: If there is none, naming the package.
    """
    found = shutil.which("mosquitto") or next(
        (place for place in _PLACES if os.access(place, os.X_OK)), None
    )
    if found is None:
        raise ToolError("program 'mosquitto' is missing; apt-get install mosquitto")
    return found


def password_line(user: str, password: str, salt: bytes | None = None) -> str:
    """One line of Mosquitto's password file, PBKDF2 with SHA-512.

    Source: mosquitto 2.0.11, src/password_mosq.c (hash type 7)
    """
    salt = secrets.token_bytes(12) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _HASH_ROUNDS)
    parts = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"{user}:$7${_HASH_ROUNDS}${'$'.join(parts)}\n"


def acl_text(fleet: str) -> str:
    """The access list: the server everything of its fleet, a device its own topics by direction."""
    base = "/".join((*ROOT, fleet))
    lines = [f"user {SERVER_USER}", f"topic readwrite {base}/#", ""]
    lines += [f"pattern write {base}/%u/{channel.value}" for channel in FROM_DEVICE]
    lines += [f"pattern read {base}/%u/{channel.value}" for channel in TO_DEVICE]
    return "\n".join(lines) + "\n"


def write_passwords(folder: Path, passwords: Mapping[str, str]) -> None:
    """Write the password file of a broker folder, whole or not at all."""
    for user in passwords:
        if not is_device_id(user):
            raise ValueError(f"user {user!r} is not 1 to 32 characters of a-z 0-9 _ -")
    text = "".join(password_line(user, passwords[user]) for user in sorted(passwords))
    _write_private(folder / "passwords", text)


def running_broker(root: Path) -> BrokerAddress | None:
    """Return where the private broker of a project listens, None if it does not run."""
    found = _running(root / "broker")
    return None if found is None else found[1]


def reload_running(root: Path, passwords: Mapping[str, str]) -> bool:
    """Give new passwords to the private broker of a project; False if none runs."""
    folder = root / "broker"
    found = _running(folder)
    if found is None:
        return False
    write_passwords(folder, passwords)
    os.kill(found[0], signal.SIGHUP)
    return True


class PrivateBroker:
    """The broker process of one project.

    Args:
        root: The project's `.edgekit` folder; files lie in `broker/` while it runs.
        port: TCP port on loopback, 0 for a free one.
    """

    def __init__(
        self, root: Path, *, fleet: str, passwords: Mapping[str, str], port: int = 0
    ) -> None:
        self._folder = root / "broker"
        self._fleet = fleet
        self._passwords = dict(passwords)
        self._port = port
        self._process: Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._failure: ToolError | StoreError | None = None
        self._keeper = threading.Thread(target=self._keep, name="edgekit-broker", daemon=True)

    @property
    def address(self) -> BrokerAddress:
        """Where it listens."""
        return BrokerAddress(HOST, self._port)

    @property
    def pid(self) -> int:
        """Number of the process, 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def failure(self) -> ToolError | StoreError | None:
        """Why it was given up, None while all is well."""
        return self._failure

    def start(self) -> BrokerAddress:
        """Start it and wait until it answers.

        Raises:
            ToolError: If Mosquitto is missing, does not start, or runs for this project already.
            StoreError: If its files cannot be written.
        """
        find_mosquitto()
        if _running(self._folder) is not None:
            raise ToolError(f"{self._folder}: a broker of this project is running already")
        try:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
            self._folder.chmod(0o700)
            write_passwords(self._folder, self._passwords)
            _write_private(self._folder / "acl", acl_text(self._fleet))
        except OSError as exc:
            raise StoreError(f"{self._folder}: cannot write: {exc.strerror}") from exc
        self._keeper.start()
        self._started.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure
        return self.address

    def stop(self) -> None:
        """End the process and remove its files."""
        self._stopping.set()
        while True:  # the keeper may just be starting another one
            if (process := self._process) is not None:
                stop(process)
            if not self._keeper.is_alive():
                break
            self._keeper.join(0.05)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _keep(self) -> None:
        """Start the process and start it again when it ends; it dies with this thread."""
        starts: list[float] = []
        try:
            while not self._stopping.is_set():
                starts = [at for at in starts if at > time.monotonic() - _RESTART_WINDOW_S]
                if len(starts) > _RESTARTS:
                    raise ToolError(f"mosquitto ended {len(starts)} times: {self._last_line()}")
                starts.append(time.monotonic())
                if not self._start_once():
                    if self._stopping.is_set():
                        break
                    if not self._started.is_set():
                        raise ToolError(
                            f"mosquitto did not start on port {self._port}: {self._last_line()}"
                        )
                    logger.warning("mosquitto ended while it started and is started again")
                    continue
                self._started.set()
                if self._process is not None:
                    code = self._process.wait()
                    if not self._stopping.is_set():
                        logger.warning("mosquitto ended with %d and is started again", code)
        except (ToolError, StoreError) as exc:
            self._failure = exc
            logger.error("%s", exc)
        except OSError as exc:
            self._failure = ToolError(f"mosquitto cannot be started: {exc.strerror}")
            logger.error("%s", self._failure)
        finally:
            self._started.set()

    def _start_once(self) -> bool:
        """Start the process; False if it ended, or did not answer in time."""
        chosen = self._port == 0
        port = self._port
        for _ in range(3):
            port = _free_port() if chosen else self._port
            config = self._folder / "mosquitto.conf"
            _write_private(config, self._config(port))
            command = [find_mosquitto(), "-c", str(config)]
            self._process = start_guarded(command, parent=os.getpid(), log=self._log())
            if self._wait_until_ready(port):
                self._port = port
                running = {"pid": self._process.pid, "host": HOST, "port": port}
                _write_private(self._folder / _RUNNING, json.dumps(running))
                return True
            if not chosen or self._stopping.is_set():
                break
        return False

    def _wait_until_ready(self, port: int) -> bool:
        process = self._process
        deadline_s = time.monotonic() + _START_S
        while process is not None and time.monotonic() < deadline_s:
            if process.poll() is not None:
                return False
            if _listens(process.pid, port):
                return True
            time.sleep(0.01)
        if process is not None:
            stop(process)
        return False

    def _config(self, port: int) -> str:
        return (
            f"listener {port} {HOST}\n"
            f"user {getpass.getuser()}\n"
            "allow_anonymous false\n"
            "use_username_as_clientid true\n"
            f"password_file {self._folder / 'passwords'}\n"
            f"acl_file {self._folder / 'acl'}\n"
            "persistence false\n"
            "max_queued_messages 20000\n"
            "max_packet_size 8192\n"
            "set_tcp_nodelay true\n"
            "log_dest stdout\n"
            "log_type error\n"
            "log_type warning\n"
        )

    def _log(self) -> Path:
        return self._folder / "mosquitto.log"

    def _last_line(self) -> str:
        try:
            lines = self._log().read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it said nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _listens(pid: int, port: int) -> bool:
    """Say whether this very process listens on the port; another one might have taken it."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            pass
        inodes = {
            fields[9]
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
            if (fields := line.split())[3] == "0A" and fields[1].endswith(f":{port:04X}")
        }
        links = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return False
    return any(f"socket:[{inode}]" in links for inode in inodes)


def _running(folder: Path) -> tuple[int, BrokerAddress] | None:
    """Return number and address of the broker of a folder, if it is alive and ours."""
    try:
        value = json.loads((folder / _RUNNING).read_text())
        pid, host, port = int(value["pid"]), str(value["host"]), int(value["port"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if str(folder / "mosquitto.conf").encode() not in command:
        return None
    return pid, BrokerAddress(host, port)


def _write_private(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.replace(partial, path)
