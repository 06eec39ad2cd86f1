"""Writes what each device of the demo has seen: its own digits, uneven by class.

Runs as a process of its own, `python -m edgekit.demo.samples FOLDER`, so that the process of the
fleet server never opens a sample file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edgekit.errors import ToolError

CLASSES = {
    "board-1": (0, 1, 2, 7),
    "virtual-1": (2, 3, 4, 8),
    "virtual-2": (4, 5, 6, 9),
    "virtual-3": (0, 5, 7, 8),
    "virtual-4": (1, 3, 6, 9),
}
"""Which digits each device holds; the three that the base never saw are on two devices each."""


def sample_file(folder: Path, device: str) -> Path:
    """Where the samples of a device lie."""
    return folder / f"{device}.samples"


def write_samples(folder: Path) -> None:
    """Have another process deal the train part to the devices.

    Raises:
        ToolError: If that process failed.
    """
    command = [sys.executable, "-m", "edgekit.demo.samples", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ToolError(f"cannot write the samples of the devices: {lines[-1]}")


def main(folder: Path) -> None:
    """Deal the train part and write one file per device."""
    from edgekit.data import load_dataset
    from edgekit.data.files import write_atomic
    from edgekit.data.split import partition_by_class
    from edgekit.flash.flash_image import encode_samples

    folder.mkdir(parents=True, exist_ok=True)
    train = load_dataset("digits").train
    shares = partition_by_class(train.labels, list(CLASSES.values()), seed=3)
    for device, index in zip(CLASSES, shares, strict=True):
        data = encode_samples(train.labels[index], train.raw[index])
        write_atomic(sample_file(folder, device), data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
