"""Labelled features that the head of a run is measured on after each round."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from edgekit.errors import FormatError
from edgekit.federated.codecs import HeadWeights


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """What the head reads of some samples, and what it should say.

    Attributes:
        features: int8 `[N, h]`; they stand for (q - zero_point) * scale.
        labels: Classes, `[N]`.
    """

    features: npt.NDArray[np.int8]
    labels: npt.NDArray[np.integer]
    scale: float
    zero_point: int

    def accuracy(self, head: HeadWeights) -> float:
        """Return the share of samples whose largest output is their label."""
        real = (self.features.astype(np.float64) - self.zero_point) * self.scale
        outputs = real @ head.weights.T.astype(np.float64) + head.bias
        return float(np.mean(outputs.argmax(axis=1) == self.labels))

    def encode(self) -> bytes:
        """Return it as the journal keeps it: an .npz."""
        file = io.BytesIO()
        np.savez(
            file,
            features=self.features,
            labels=self.labels,
            numbers=np.array([self.scale, self.zero_point], np.float64),
        )
        return file.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read it.

        Raises:
            FormatError: If the bytes are something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                features, labels, numbers = found["features"], found["labels"], found["numbers"]
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as exc:
            raise FormatError(f"labelled features: {exc}") from exc
        if features.dtype != np.int8 or features.ndim != 2 or labels.shape != features.shape[:1]:
            raise FormatError(
                f"labelled features are {features.dtype} {list(features.shape)} with"
                f" {list(labels.shape)} labels, expected int8 [N, h] and [N]"
            )
        return cls(features, labels, float(numbers[0]), int(numbers[1]))
