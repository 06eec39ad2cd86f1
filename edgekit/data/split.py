"""Splitting labelled samples: by class for parts, and unevenly by class for devices."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Int64Array, UInt8Array


def stratified_split(
    labels: NDArray[Any], count: int, *, seed: int
) -> tuple[Int64Array, Int64Array]:
    """Choose `count` samples with the class shares of the whole.

    The choice depends on the labels' order and the seed alone, never on a library's generator.

    Returns:
        The chosen sample numbers and the others, both ascending.

    Raises:
        ValueError: If count is negative or greater than the number of samples.
    """
    total = len(labels)
    if not 0 <= count <= total:
        raise ValueError(f"cannot choose {count} of {total} samples")
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    exact = [len(member) * count / total for member in members]
    quota = [int(share) for share in exact]
    # Largest remainder; ties go to the lower class.
    order = sorted(range(len(members)), key=lambda i: (quota[i] - exact[i], i))
    for i in order[: count - sum(quota)]:
        quota[i] += 1
    chosen = np.zeros(total, dtype=bool)
    for member, share in zip(members, quota, strict=True):
        chosen[shuffled(member, seed=seed)[:share]] = True
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def partition_by_class(
    labels: UInt8Array, classes_per_device: Sequence[Sequence[int]], *, seed: int
) -> tuple[Int64Array, ...]:
    """Deal samples to devices that each hold only some classes.

    The samples of a class are shared evenly by the devices that list it; a class that no device
    lists is left out. Every sample goes to at most one device.

    Args:
        labels: Class numbers, [N].
        classes_per_device: For each device the classes it holds.
        seed: Decides who gets which sample, and the order in which a device holds them.

    Returns:
        For each device its sample numbers, in a mixed order.

    Raises:
        ValueError: If a device lists a class twice or one that no sample has.
    """
    known = set(np.unique(labels).tolist())
    holders: dict[int, list[int]] = {}
    for device, classes in enumerate(classes_per_device):
        for label in classes:
            if label not in known:
                raise ValueError(f"device {device} lists class {label}, which no sample has")
            if device in holders.setdefault(label, []):
                raise ValueError(f"device {device} lists class {label} twice")
            holders[label].append(device)
    dealt: list[list[Int64Array]] = [[] for _ in classes_per_device]
    for label, devices in sorted(holders.items()):
        mixed = shuffled(np.flatnonzero(labels == label), seed=seed)
        for place, device in enumerate(devices):
            dealt[device].append(mixed[place :: len(devices)])
    empty = np.zeros(0, dtype=np.int64)
    return tuple(shuffled(np.concatenate([empty, *parts]), seed=seed + 1) for parts in dealt)


def shuffled(numbers: Int64Array, *, seed: int) -> Int64Array:
    """Mix sample numbers by a hash of seed and number.

    Two sets mixed with one seed keep their common members in the same order.
    """

    def key(number: int) -> bytes:
        return hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=8).digest()

    return np.array(sorted(numbers.tolist(), key=key), dtype=np.int64)
