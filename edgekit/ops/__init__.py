"""Operators: the kernels of the C runtime, and how the operators of `.tflite` become kernels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from edgekit.errors import ConfigError
from edgekit.ops import (
    activation,
    conv,
    dense,
    elementwise,
    gather,
    layout,
    pool,
    reduce,
    remap,
    resize,
    softmax,
    transpose_conv,
)
from edgekit.ops.base import Kernel, Lowering

OPS: tuple[Kernel, ...] = (
    conv.CONV_2D,
    conv.DEPTHWISE_CONV_2D,
    dense.FULLY_CONNECTED,
    dense.BATCH_MATMUL,
    elementwise.ADD,
    elementwise.MUL,
    pool.AVERAGE_POOL_2D,
    pool.MAX_POOL_2D,
    reduce.MEAN,
    softmax.SOFTMAX,
    activation.LUT,
    layout.COPY,
    layout.TRANSPOSE,
    layout.CONCATENATION,
    layout.PAD,
    layout.STRIDED_SLICE,
    remap.REMAP,
    elementwise.MAXIMUM,
    elementwise.SQUARED_DIFFERENCE,
    elementwise.PRELU,
    resize.RESIZE_BILINEAR,
    transpose_conv.TRANSPOSE_CONV,
    gather.GATHER,
    gather.ARG_MAX,
)
"""Every kernel. Twin: firmware/include/ek_ops.def."""

LOWERINGS: dict[str, Lowering] = {
    "CONV_2D": conv.lower_conv_2d,
    "DEPTHWISE_CONV_2D": conv.lower_depthwise_conv_2d,
    "TRANSPOSE_CONV": transpose_conv.lower_transpose_conv,
    "FULLY_CONNECTED": dense.lower_fully_connected,
    "BATCH_MATMUL": dense.lower_batch_matmul,
    "ADD": elementwise.lower_add,
    "SUB": elementwise.lower_sub,
    "MUL": elementwise.lower_mul,
    "MAXIMUM": elementwise.lower_maximum,
    "MINIMUM": elementwise.lower_minimum,
    "SQUARED_DIFFERENCE": elementwise.lower_squared_difference,
    "PRELU": elementwise.lower_prelu,
    "AVERAGE_POOL_2D": pool.lower_average_pool_2d,
    "MAX_POOL_2D": pool.lower_max_pool_2d,
    "MEAN": reduce.lower_mean,
    "SUM": reduce.lower_sum,
    "REDUCE_MAX": reduce.lower_reduce_max,
    "REDUCE_MIN": reduce.lower_reduce_min,
    "SOFTMAX": softmax.lower_softmax,
    "LOGISTIC": activation.lower_table,
    "TANH": activation.lower_table,
    "RELU": activation.lower_table,
    "RELU6": activation.lower_table,
    "RELU_N1_TO_1": activation.lower_table,
    "HARD_SWISH": activation.lower_table,
    "LEAKY_RELU": activation.lower_table,
    "GELU": activation.lower_table,
    "QUANTIZE": activation.lower_table,
    "ABS": activation.lower_table,
    "NEG": activation.lower_table,
    "EXP": activation.lower_table,
    "LOG": activation.lower_table,
    "SQRT": activation.lower_table,
    "RSQRT": activation.lower_table,
    "ELU": activation.lower_table,
    "DIV": activation.lower_div,
    "RESHAPE": layout.lower_reshape,
    "SQUEEZE": layout.lower_reshape,
    "EXPAND_DIMS": layout.lower_reshape,
    "TRANSPOSE": layout.lower_transpose,
    "CONCATENATION": layout.lower_concatenation,
    "PAD": layout.lower_pad,
    "PADV2": layout.lower_pad,
    "STRIDED_SLICE": layout.lower_strided_slice,
    "SLICE": layout.lower_slice,
    "SPLIT": layout.lower_split,
    "SPLIT_V": layout.lower_split_v,
    "PACK": layout.lower_pack,
    "UNPACK": layout.lower_unpack,
    "REVERSE_V2": layout.lower_reverse,
    "SPACE_TO_DEPTH": layout.lower_space_to_depth,
    "DEPTH_TO_SPACE": layout.lower_depth_to_space,
    "MIRROR_PAD": remap.lower_mirror_pad,
    "TILE": remap.lower_tile,
    "RESIZE_NEAREST_NEIGHBOR": remap.lower_resize_nearest_neighbor,
    "GATHER": gather.lower_gather,
    "ARG_MAX": gather.lower_arg_max,
    "ARG_MIN": gather.lower_arg_min,
    "RESIZE_BILINEAR": resize.lower_resize_bilinear,
}
"""Every source operator that edgekit compiles."""

_BY_NAME = {kernel.name: kernel for kernel in OPS}
_BY_NUMBER = {kernel.number: kernel for kernel in OPS}

_IMAGES = (
    "conv_2d",
    "depthwise_conv_2d",
    "fully_connected",
    "add",
    "mul",
    "average_pool_2d",
    "max_pool_2d",
    "mean",
    "softmax",
    "lut",
    "copy",
    "pad",
)

KERNEL_SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(kernel.name for kernel in OPS),
    "vision": (
        *_IMAGES,
        "batch_matmul",
        "transpose",
        "concatenation",
        "strided_slice",
        "remap",
        "maximum",
        "prelu",
        "resize_bilinear",
        "transpose_conv",
    ),
    "series": (
        *_IMAGES,
        "transpose",
        "concatenation",
        "strided_slice",
        "remap",
        "maximum",
        "prelu",
    ),
    "text": (
        "fully_connected",
        "batch_matmul",
        "add",
        "mul",
        "mean",
        "softmax",
        "lut",
        "copy",
        "transpose",
        "concatenation",
        "strided_slice",
        "maximum",
        "squared_difference",
        "gather",
        "arg_max",
    ),
}
"""What `edgekit build --ops NAME` builds in."""


def kernel(name: str) -> Kernel | None:
    """Return a kernel by name, None if there is none."""
    return _BY_NAME.get(name)


def kernel_by_number(number: int) -> Kernel | None:
    """Return a kernel by its id in the container, None if there is none."""
    return _BY_NUMBER.get(number)


def kernel_set(name: str) -> tuple[str, ...]:
    """Return the kernels of a named set, in the order of `OPS`.

    Raises:
        ConfigError: If there is no such set.
    """
    if name not in KERNEL_SETS:
        raise ConfigError(f"no kernel set '{name}'; there are {', '.join(KERNEL_SETS)}")
    return ordered(KERNEL_SETS[name])


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return kernel names in the order of `OPS`, each once.

    Raises:
        ConfigError: If a name is unknown.
    """
    wanted = set(names)
    unknown = sorted(wanted - set(_BY_NAME))
    if unknown:
        raise ConfigError(f"no kernel '{unknown[0]}'; there are {', '.join(_BY_NAME)}")
    return tuple(op.name for op in OPS if op.name in wanted)


def kernel_set_hash(names: Iterable[str]) -> bytes:
    """Return the BLAKE2b-64 of a set: of the lines "name revision", in the order of `OPS`."""
    lines = "".join(f"{name} {_BY_NAME[name].revision}\n" for name in ordered(names))
    return hashlib.blake2b(lines.encode(), digest_size=8).digest()
