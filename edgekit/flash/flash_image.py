"""The persistent memory of an emulated or virtual device: one file, laid out by its board.

The emulator maps the same file, so a device that runs sees what is written here. Regions in the
flash are written as a programmer does: erase, then write.

Twin: firmware/ports/*/ek_port.c, ek_port_flash_base
"""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgekit.boards import OUTSIDE_FLASH, Board, Layout, Region
from edgekit.errors import CapacityError, ConfigError, StoreError

Slot = Literal["a", "b"]
RegionName = Literal["provision", "state", "learn", "slot_a", "slot_b", "samples", "bench"]

ERASED = 0xFF
PROVISION_BYTES = 256


class FlashImage:
    """The file, created erased if it does not exist.

    Raises:
        ConfigError: If the board has no layout.
        StoreError: If the file exists with another size.
    """

    def __init__(self, path: Path, board: Board) -> None:
        if board.layout is None:
            reason = "has no [layout]" if board.agent else "has agent = false: it only runs models"
            raise ConfigError(f"board '{board.name}' {reason}")
        self.path = path
        self.board = board
        self._layout: Layout = board.layout
        self._bytes = flash_file_bytes(board)
        if not path.exists():
            self._create()
        elif path.stat().st_size != self._bytes:
            raise StoreError(
                f"{path.name} has {path.stat().st_size} bytes, the persistent memory of board"
                f" '{board.name}' has {self._bytes}"
            )

    def region(self, name: RegionName) -> Region:
        """Return where a region lies."""
        region: Region = getattr(self._layout, name)
        return region

    def read(self, name: RegionName, offset: int = 0, length: int | None = None) -> bytes:
        """Read length bytes of a region, by default all."""
        region = self.region(name)
        size = region.bytes - offset if length is None else length
        self._check(name, offset, size)
        with self.path.open("rb") as file:
            file.seek(region.offset + offset)
            return file.read(size)

    def write(self, name: RegionName, data: bytes, offset: int = 0) -> None:
        """Write bytes into a region.

        Raises:
            CapacityError: If they do not fit.
        """
        self._check(name, offset, len(data))
        with self.path.open("r+b") as file:
            file.seek(self.region(name).offset + offset)
            file.write(data)

    def erase(self, name: RegionName) -> None:
        """Fill a region with 0xff."""
        self.write(name, bytes([ERASED]) * self.region(name).bytes)

    def write_provision(self, page: bytes) -> None:
        """Erase the provisioning region and write its page of 256 bytes."""
        if len(page) != PROVISION_BYTES:
            raise ValueError(f"a provisioning page has {PROVISION_BYTES} bytes, not {len(page)}")
        self.erase("provision")
        self.write("provision", page)

    def write_slot(self, slot: Slot, image: bytes) -> None:
        """Erase a model slot and write an image into it.

        Raises:
            CapacityError: If the image is larger than the slot.
        """
        name: RegionName = "slot_a" if slot == "a" else "slot_b"
        self._check(name, 0, len(image))
        self.erase(name)
        self.write(name, image)

    def write_samples(self, samples: bytes) -> None:
        """Write what `encode_samples` made.

        Raises:
            CapacityError: If it is larger than the region.
        """
        self.write("samples", samples)

    def _check(self, name: RegionName, offset: int, length: int) -> None:
        region = self.region(name)
        if offset < 0 or length < 0 or offset + length > region.bytes:
            raise CapacityError(
                f"{length} bytes at {offset:#x} do not fit into '{name}' of board"
                f" '{self.board.name}', which has {region.bytes}",
                needed_bytes=offset + length,
                free_bytes=region.bytes,
            )

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
        scratch = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for region_name, region in self._layout:
                    if region_name not in OUTSIDE_FLASH:
                        file.seek(region.offset)
                        file.write(bytes([ERASED]) * region.bytes)
                file.truncate(self._bytes)
            scratch.replace(self.path)
        except OSError as exc:
            raise StoreError(f"cannot write {self.path}: {exc.strerror}") from exc
        finally:
            scratch.unlink(missing_ok=True)


def flash_file_bytes(board: Board) -> int:
    """Return the size of the file of a board."""
    if board.layout is None:
        return 0
    return board.layout.end if board.emulator is None else board.emulator.persistent_bytes


def encode_samples(labels: npt.ArrayLike, raw: npt.NDArray[np.uint8]) -> bytes:
    """Return labelled samples as a device's store holds them.

    Args:
        labels: Class indices [N], 0 .. 65535.
        raw: Raw inputs [N, ...], one byte each.

    Twin: firmware/ports/*/ek_port.c, ek_port_sample_next. Source: PROTOCOL.md, "Samples".
    """
    numbers = np.asarray(labels)
    count = raw.shape[0]
    if numbers.shape != (count,):
        raise ValueError(f"labels have shape {numbers.shape}, raw has {count} samples")
    flat = np.ascontiguousarray(raw, np.uint8).reshape(count, -1)
    header = struct.pack("<4sHHII", b"EKSM", 1, 0, count, flat.shape[1])
    records = b"".join(
        struct.pack("<H", int(label)) + sample.tobytes()
        for label, sample in zip(numbers, flat, strict=True)
    )
    return header + records
