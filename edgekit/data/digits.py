"""The 1,797 handwritten digits that ship with scikit-learn, split once and for ever.

Images are 8x8, one channel, raw values 0..16. The split is by class and by a hash of the sample's
number, so that it never depends on the random generator of a library version.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998 (test part); licence CC BY 4.0.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from edgekit.data.dataset import Dataset, Part, UInt8Array
from edgekit.data.split import stratified_split
from edgekit.errors import FormatError, ToolError

SAMPLES = 1797
SIDE = 8
MAX_VALUE = 16
CLASSES = 10
TEST_SAMPLES = 540
ACCEPTANCE_SAMPLES = 250
CONTENT_BLAKE2B = "07821e2c312d9292de5ea792ff23d580"
DATA_LICENSE = "CC-BY-4.0"


def load_digits() -> Dataset:
    """Load the digits and split them into 1,007 train, 250 acceptance and 540 test images.

    Raises:
        ToolError: If scikit-learn, which carries the file, is not installed.
        FormatError: If the file is not the one the split was made for.
    """
    raw, labels = _read(_digits_file())
    test, rest = stratified_split(labels, TEST_SAMPLES, seed=1)
    acceptance, train = stratified_split(labels[rest], ACCEPTANCE_SAMPLES, seed=2)

    def part(index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Part:
        return Part(raw=raw[index], labels=labels[index])

    return Dataset(
        name="digits",
        task="image-classification",
        label_names=tuple(str(digit) for digit in range(CLASSES)),
        max_value=MAX_VALUE,
        data_license=DATA_LICENSE,
        train=part(rest[train]),
        acceptance=part(rest[acceptance]),
        test=part(test),
    )


def _digits_file() -> Path:
    # Found without importing scikit-learn, which takes more than a second.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ToolError("data set 'digits' needs scikit-learn; pip install 'edgekit[train]'")
    return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _read(path: Path) -> tuple[UInt8Array, UInt8Array]:
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    except (OSError, ValueError) as exc:
        raise FormatError(f"{path.name}: cannot be read: {exc}") from exc
    content = np.ascontiguousarray(table.astype(np.uint8))
    found = hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()
    if content.shape != (SAMPLES, SIDE * SIDE + 1) or found != CONTENT_BLAKE2B:
        raise FormatError(
            f"{path.name}: content hash is {found}, expected {CONTENT_BLAKE2B};"
            " this scikit-learn ships other digits"
        )
    return content[:, :-1].reshape(SAMPLES, SIDE, SIDE, 1), content[:, -1].copy()
