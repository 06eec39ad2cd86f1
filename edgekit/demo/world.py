"""The machines of the demo: broker, gateway, server, one emulated board and virtual devices."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edgekit.boards import Board, load_board
from edgekit.demo.console import Step
from edgekit.errors import DeviceError, StoreError
from edgekit.export.compile import CompiledModel
from edgekit.export.mcu import Firmware
from edgekit.flash.flash_image import FlashImage
from edgekit.flash.process import ChildProcess
from edgekit.flash.qemu import Emulator
from edgekit.flash.virtual import VirtualDevice
from edgekit.fleet.devices import DeviceView, Presence
from edgekit.fleet.manifests import ReleaseKey, release_key
from edgekit.fleet.provision import Provision
from edgekit.fleet.releases import Acceptance, Release, publish
from edgekit.fleet.rollouts import Limits, RolloutState
from edgekit.service.describe import board_body, model_body
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet
from edgekit.service.rollouts import RolloutDriver
from edgekit.started import Opened

FLEET = "demo"
BOARD = "mps2_an386"
BOARD_DEVICE = "board-1"
VIRTUAL_DEVICES = ("virtual-1", "virtual-2", "virtual-3", "virtual-4")
EMULATED_GATEWAY = "10.0.2.2"  # the host, as QEMU's user network shows it to the guest
HEARTBEAT_S = 5
JOIN_S = 60.0
ROLLOUT_S = 120.0


@dataclass(slots=True)
class Machine:
    """One device of the demo."""

    name: str
    board: Board
    process: ChildProcess


class World(Opened):
    """Everything that runs during the demo; leaving it stops everything.

    Args:
        folder: State of the fleet; what an earlier run left there is removed.
        firmware: Built agents by board name.
    """

    def __init__(self, folder: Path, firmware: dict[str, Firmware]) -> None:
        self.folder = folder
        self.root = folder / ".edgekit"
        self.firmware = firmware
        self.machines: dict[str, Machine] = {}
        self._stack = ExitStack()
        self.fleet: LocalFleet
        self.rollouts: RolloutDriver
        self.federated: FederatedDriver
        self.key: ReleaseKey

    def __enter__(self) -> Self:
        try:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True)
        except OSError as exc:
            raise StoreError(f"{self.folder}: cannot be made anew: {exc.strerror}") from exc
        try:
            self.fleet = LocalFleet(root=self.root, fleet=FLEET, heartbeat_s=HEARTBEAT_S)
            self._stack.enter_context(self.fleet)
            self.key = release_key(self.root / "keys")
            self.rollouts = RolloutDriver(self.fleet.server)
            self.federated = FederatedDriver(self.fleet.server)
        except BaseException:
            self._stack.close()
            raise
        return self

    def close(self) -> None:
        """Stop everything; nothing happens the second time."""
        self._stack.close()

    def describe_board(self, name: str) -> None:
        """Enter a board and its firmware in the journal."""
        board = load_board(name)
        body = board_body(board, self.firmware[name].ops)
        self.fleet.server.journal.append("board.described", name, body)

    def register(
        self,
        model: CompiledModel,
        board: str,
        *,
        derived_from: str | None = None,
        accuracy: dict[str, float] | None = None,
    ) -> None:
        """Enter a model in the journal."""
        body = model_body(model, device_class=board, accuracy=accuracy, derived_from=derived_from)
        self.fleet.server.journal.append("model.registered", model.id.hex(), body)

    def enrol(self, name: str, board_name: str, samples: Path) -> None:
        """Enrol a device, write its provisioning page and start it; a new claim token is in it.

        Args:
            samples: File of samples that only the device reads.
        """
        board = load_board(board_name)
        record = self.fleet.add_device(name, board_name)
        emulated = board.emulator is not None
        flash = self.folder / "devices" / f"{name}.flash"
        log = self.folder / "devices" / f"{name}.log"
        page = Provision(
            device=name,
            gateway_host=EMULATED_GATEWAY if emulated else "127.0.0.1",
            gateway_port=self.fleet.gateway.port,
            token_id=record.token.id,
            token_secret=record.token.secret,
            release_key=self.key.public,
            entropy=secrets.token_bytes(32),
        )
        FlashImage(flash, board).write_provision(page.encode())
        elf = self.firmware[board_name].elf
        process: ChildProcess
        if emulated:
            # What stands for the sensor of an emulated board lies behind its flash.
            place_samples(samples, flash, board)
            process = Emulator(board, elf, flash, log=log)
        else:
            process = VirtualDevice(elf, flash, samples=samples, log=log)
        process.start()
        self._stack.callback(process.stop)
        self.machines[name] = Machine(name, board, process)

    def view(self, name: str) -> DeviceView:
        """Return what the server knows of a device."""
        server = self.fleet.server
        return server.call(lambda: server.devices()[name])

    def wait_until(
        self, what: str, ready: Callable[[], bool], *, step: Step, timeout_s: float
    ) -> None:
        """Wait for something that devices do; a machine that died or a lost broker ends the wait.

        Raises:
            DeviceError: If it does not happen in time or a machine ended.
            ToolError: If the broker is gone for good.
        """
        begin = time.monotonic()
        while not ready():
            failure = self.fleet.broker.failure
            if failure is not None:
                raise failure
            for machine in self.machines.values():
                if not machine.process.running:
                    raise DeviceError(
                        f"device '{machine.name}' ended with {machine.process.exit_status};"
                        f" its console: {machine.process.log}"
                    )
            passed = time.monotonic() - begin
            if passed > timeout_s:
                raise DeviceError(f"{what} did not happen within {timeout_s:g} s")
            step.update(passed / timeout_s, what)
            time.sleep(0.1)

    def wait_online(self, *names: str, step: Step) -> None:
        """Wait until devices are claimed, present and have reported."""

        def ready() -> bool:
            views = [self.view(name) for name in names]
            return all(
                view.claimed and view.reported is not None and view.presence is Presence.ONLINE
                for view in views
            )

        self.wait_until(
            f"claim and report of {', '.join(names)}", ready, step=step, timeout_s=JOIN_S
        )

    def publish(
        self,
        model: CompiledModel,
        board: str,
        *,
        acceptance: Acceptance | None,
        unsafe_skip_golden: bool = False,
    ) -> Release:
        """Put a model through the gates, sign it and enter the release in the journal."""
        return publish(
            model.image,
            board=load_board(board),
            kernel_ops=self.firmware[board].ops,
            journal=self.fleet.server.journal,
            key=self.key,
            now_s=time.time(),
            acceptance=acceptance,
            unsafe_skip_golden=unsafe_skip_golden,
        )

    def roll_out(self, release: Release, devices: tuple[str, ...], step: Step) -> RolloutState:
        """Roll a release out, one device first, and wait until it has finished or halted."""
        rollout = self.rollouts.start(
            release, devices, waves=(1, 1.0), limits=Limits(deadline_s=ROLLOUT_S, soak_s=0.0)
        )
        self.wait_until(
            f"rollout {rollout}",
            lambda: not self.rollouts.status(rollout).active,
            step=step,
            timeout_s=2 * ROLLOUT_S,
        )
        return self.rollouts.status(rollout)


def place_samples(samples: Path, flash: Path, board: Board) -> None:
    """Copy a sample file into the samples region of a flash file, in a process of its own.

    Raises:
        StoreError: If it cannot be copied.
    """
    assert board.layout is not None
    region = board.layout.samples
    command = ["dd", f"if={samples}", f"of={flash}", "bs=4096", "conv=notrunc", "status=none"]
    command.append(f"seek={region.offset // 4096}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StoreError(f"samples cannot be placed: {done.stderr.strip()}")
