"""Numbers of the model image's container, as specified in firmware/runtime/CONTAINER.md.

Twin: firmware/runtime/ek_container.h
"""

from __future__ import annotations

from enum import IntEnum

MAGIC = b"EKM1"
VERSION = 1
HEADER_BYTES = 32
SECTION_BYTES = 16
MAX_SECTIONS = 9
SECTION_ALIGN = 16
OPS_HEADER_BYTES = 16
NODE_BYTES = 16
PLAN_HEADER_BYTES = 32
TENSOR_BYTES = 16
FEATURES_HEADER_BYTES = 16
HEAD_HEADER_BYTES = 32
GOLDEN_HEADER_BYTES = 16
VARIABLES_HEADER_BYTES = 16
VARIABLE_BYTES = 16
MAX_VARIABLES = 64
MAX_BYTES = 1 << 30
MAX_NODE_TENSORS = 18


class Section(IntEnum):
    """Kinds of sections."""

    META = 1
    FEATURES = 2
    OPS = 3
    WEIGHTS = 4
    PLAN = 5
    HEAD = 6
    GOLDEN = 7
    NAMES = 8
    VARIABLES = 9


class Kind(IntEnum):
    """Where a tensor lies."""

    ARENA = 0
    WEIGHTS = 1


FEATURES_LUT_U8 = 1
FEATURES_BPE = 2
TYPE_S8 = 1
TYPE_S32 = 2
TYPE_S16 = 3
