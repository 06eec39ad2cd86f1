"""Samples of clients from one file: what a simulation learns from."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.errors import ConfigError
from edgekit.federated.fast import Shard
from edgekit.federated.nets import Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class ClientTable:
    """Samples by client, and those to test on.

    Attributes:
        shards: By the client's number as text, in rising order.
        test: None: the file has none.
        classes: 0 if the targets are values.
    """

    shards: dict[str, Shard]
    test: Shard | None
    classes: int

    @property
    def features(self) -> int:
        """Inputs of a sample."""
        return int(next(iter(self.shards.values())).x.shape[1])

    @property
    def outputs(self) -> int:
        """Outputs that a net needs."""
        return self.classes or int(next(iter(self.shards.values())).y.shape[1])


def load_clients(path: Path) -> ClientTable:
    """Read an npz file of x [N, in], y [N] labels or [N, out] values, client [N]; x_test, y_test.

    Raises:
        ConfigError: If it cannot be read, or arrays miss or do not fit.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            for name in ("x", "y", "client"):
                if name not in kept.files:
                    raise ConfigError(f"{path}: has no array '{name}', but {', '.join(kept.files)}")
            arrays = {name: kept[name] for name in kept.files if name in _NAMES}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as exc:
        raise ConfigError(f"{path}: is no npz file of arrays: {exc}") from exc
    x, y = _pair(path, arrays["x"], arrays["y"], "")
    client = arrays["client"]
    if client.shape != (len(x),) or not np.issubdtype(client.dtype, np.integer):
        raise ConfigError(f"{path}: 'client' is {client.dtype} {client.shape}, expected [{len(x)}]")
    shards = {str(name): Shard(x[client == name], y[client == name]) for name in np.unique(client)}
    test = None
    if "x_test" in arrays and "y_test" in arrays:
        test = Shard(*_pair(path, arrays["x_test"], arrays["y_test"], "_test"))
        if test.x.shape[1] != x.shape[1]:
            raise ConfigError(
                f"{path}: test samples have {test.x.shape[1]} inputs, not {x.shape[1]}"
            )
    classes = 0 if y.ndim == 2 else 1 + int(max(y.max(), test.y.max() if test else 0))
    return ClientTable(shards, test, classes)


def accuracy(outputs: Float32Array, targets: npt.NDArray[np.generic]) -> float:
    """Return the share of right classes; of values 1 - the share of variance left, at least 0."""
    if targets.ndim == 1:
        return float((outputs.argmax(axis=1) == targets).mean())
    values = targets.astype(np.float64)
    left = ((outputs - values) ** 2).mean() / max(float(values.var()), 1e-12)
    return float(max(0.0, 1.0 - left))


_NAMES = ("x", "y", "client", "x_test", "y_test")


def _pair(
    path: Path, x: npt.NDArray[np.generic], y: npt.NDArray[np.generic], end: str
) -> tuple[Float32Array, npt.NDArray[np.generic]]:
    if x.ndim < 2 or not len(x) or not np.issubdtype(x.dtype, np.number):
        raise ConfigError(f"{path}: 'x{end}' is {x.dtype} {x.shape}, expected numbers [N, in]")
    made = x.reshape(len(x), -1).astype(np.float32)
    if not np.isfinite(made).all():
        raise ConfigError(f"{path}: 'x{end}' has values that are not finite")
    if y.shape[:1] != x.shape[:1] or y.ndim > 2:
        raise ConfigError(f"{path}: 'y{end}' is {y.shape}, expected [{len(x)}] or [{len(x)}, out]")
    if y.ndim == 2:
        values = y.astype(np.float32)
        if not np.isfinite(values).all():
            raise ConfigError(f"{path}: 'y{end}' has values that are not finite")
        return made, values
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= 65_536:
        raise ConfigError(f"{path}: labels 'y{end}' are {y.dtype}, expected integers of 0 to 65535")
    return made, y.astype(np.int64)
