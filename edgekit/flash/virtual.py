"""Virtual devices: the agent as a Linux process, with a file as flash and a socket as link."""

from __future__ import annotations

from pathlib import Path

from edgekit.boards import load_board
from edgekit.flash.flash_image import FlashImage
from edgekit.flash.process import ChildProcess


class VirtualDevice(ChildProcess):
    """An agent process; use it as a context manager or call start and stop.

    Args:
        exe: The agent, built for board `host`.
        flash_file: Its persistent memory, created if missing.
        samples: File of `encode_samples`, None for the samples region of the flash file.
        battery: File with microvolts, such as /sys/class/power_supply/BAT0/voltage_now.
        log: File for its console.
    """

    def __init__(
        self,
        exe: Path,
        flash_file: Path,
        *,
        samples: Path | None = None,
        battery: Path | None = None,
        log: Path,
    ) -> None:
        FlashImage(flash_file, load_board("host"))
        command = [str(exe), "--flash", str(flash_file)]
        if samples is not None:
            command += ["--samples", str(samples)]
        if battery is not None:
            command += ["--battery", str(battery)]
        super().__init__(command, log=log, what=f"virtual device '{flash_file.stem}'")
        self.flash_file = flash_file
