"""Importing the training framework in a worker, without what it looks for and we do not use."""

from __future__ import annotations

import os
import sys

_LOOKED_FOR = ("jax", "matplotlib", "pandas", "sklearn")
"""Keras and TensorFlow import these where they are installed: a third of the time of the import."""


def import_framework() -> None:
    """Import Keras and TensorFlow; who needs one of the packages left out imports it afterwards."""
    needed = os.environ.get("KERAS_BACKEND", "")
    absent = [name for name in _LOOKED_FOR if name not in sys.modules and name != needed]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type] # None: cannot be imported
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
