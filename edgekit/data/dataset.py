"""What a data set is: raw samples and labels in three parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """Samples of one part of a data set.

    Attributes:
        raw: Samples as a device reads them, [N, H, W, C] uint8.
        labels: Class numbers, [N] uint8.
    """

    raw: UInt8Array
    labels: UInt8Array

    def __post_init__(self) -> None:
        if len(self.raw) != len(self.labels):
            raise ValueError(f"{len(self.raw)} samples have {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[Any]) -> Part:
        """Choose samples by number or by mask."""
        return Part(raw=self.raw[index], labels=self.labels[index])

    def without_classes(self, classes: tuple[int, ...]) -> Part:
        """Leave out every sample of the given classes."""
        return self.take(~np.isin(self.labels, classes))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A labelled data set with fixed parts.

    Attributes:
        max_value: Largest raw value; the model's float input is raw / max_value.
        train: What models learn from and quantization is calibrated with.
        acceptance: What decides whether a model may be published; never trained on.
        test: What results are reported on; nothing is chosen by it.
    """

    name: str
    task: str
    label_names: tuple[str, ...]
    max_value: int
    data_license: str
    train: Part
    acceptance: Part
    test: Part

    def to_float(self, raw: UInt8Array) -> Float32Array:
        """Turn raw samples into the model's float input, 0..1."""
        return raw.astype(np.float32) / np.float32(self.max_value)
