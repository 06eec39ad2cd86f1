"""Operators: the kernels of the C runtime, and how the operators of `.tflite` become kernels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from edgekit.errors import ConfigError
from edgekit.ops import (
    activation,
    attention,
    conv,
    dense,
    dsp,
    dsp_planes,
    elementwise,
    gather,
    gru,
    layout,
    logic,
    lstm,
    mve,
    mve_depthwise,
    norm,
    pair,
    pool,
    reduce,
    remap,
    resize,
    small,
    small_add,
    softmax,
    text,
    transpose_conv,
    wide,
    wide_dense,
    wide_table,
)
from edgekit.ops.base import Kernel, Packing, Source
from edgekit.ops.lowerings import LOWERINGS as LOWERINGS

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
    dsp.CONV_2D_DSP,
    dsp.FULLY_CONNECTED_DSP,
    dsp_planes.DEPTHWISE_CONV_2D_DSP,
    dsp_planes.DEPTHWISE_BANDS_DSP,
    mve.CONV_2D_MVE,
    mve.FULLY_CONNECTED_MVE,
    mve_depthwise.DEPTHWISE_CONV_2D_MVE,
    small.CONV_2D_SMALL,
    small.FULLY_CONNECTED_SMALL,
    small.DEPTHWISE_CONV_2D_SMALL,
    small_add.ADD_SMALL,
    norm.LAYER_NORM,
    attention.ATTENTION,
    logic.INDEX_BINARY,
    logic.COMPARE,
    logic.SELECT,
    logic.WIDEN,
    logic.CUMULATE,
    gather.ONE_HOT,
    elementwise.DIV,
    lstm.LSTM,
    wide_dense.CONV_2D_S16,
    wide_dense.DEPTHWISE_CONV_2D_S16,
    wide_dense.FULLY_CONNECTED_S16,
    wide_dense.BATCH_MATMUL_S16,
    wide.ADD_S16,
    wide.MUL_S16,
    wide.AVERAGE_POOL_2D_S16,
    wide.MAX_POOL_2D_S16,
    wide.MEAN_S16,
    wide_table.SOFTMAX_S16,
    wide_table.LUT_S16,
    wide_table.LOGISTIC_S16,
    wide.RESCALE_S16,
    gru.GRU,
    pair.DEPTHWISE_POINTWISE,
    *text.KERNELS,
)
"""Every kernel. Twin: firmware/include/ek_ops.def."""

PACKINGS: tuple[Packing, ...] = (
    *dsp.PACKINGS,
    *dsp_planes.PACKINGS,
    *mve.PACKINGS,
    mve_depthwise.PACKING,
    *small.PACKINGS,
    small_add.PACKING,
)
"""Packed forms of kernels, each for one family of cores. Their kernels stand in `OPS` too."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "portable": (),
    "dsp": ("dsp",),
    "mve": ("mve", "dsp"),
    "small": ("small",),
    "host": (),
}
"""Kernel families that an image may be packed for, with whose packed forms it uses, best first:
dsp for ARMv7E-M and ARMv8-M with DSP, mve for Helium, small for ARMv6-M, Cortex-M3 and rv32. The
host runs images of every family; its own kernels pack while they run."""

FUSED: dict[str, Source] = {
    "ATTENTION": Source(attention.lower_attention, ("attention",), "at most 8,192 keys"),
    "GRU": Source(gru.lower_gru, ("gru",), "one sample at a time, at most 256 units"),
    "NORM": Source(norm.lower_norm, ("layer_norm",), "rows of at most 65,536 values"),
    "TEXT_ATTEND": Source(text.lower_text_attend, ("text_attend",), "at most 8,192 tokens"),
    "TEXT_EMBED": Source(text.lower_text_embed, ("text_embed",), "one sentence at a time"),
    "TEXT_MIX": Source(text.lower_text_mix, ("text_mix",), "rows of at most 4,096 values"),
    "TEXT_NORM": Source(text.lower_text_norm, ("text_norm",), "rows of at most 4,096 values"),
    "TEXT_POOL": Source(text.lower_text_pool, ("text_pool",), "mean, maximum or the first row"),
}
"""What `edgekit.passes.fuse` puts in place of several source operators; no file has these."""

MERGED = (pair.DEPTHWISE_POINTWISE.name,)
"""What passes put in place of several kernels, with equal outputs."""

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
    "layer_norm",
)

KERNEL_SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(kernel.name for kernel in OPS if not kernel.packs),
    "vision": (
        *_IMAGES,
        "batch_matmul",
        "attention",
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
        *(kernel.name for kernel in text.KERNELS),
        "layer_norm",
        "attention",
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
        "index_binary",
        "compare",
        "select",
        "div",
        "pad",
        "max_pool_2d",
    ),
}
"""What `edgekit build --ops NAME` builds in."""


def kernel(name: str) -> Kernel | None:
    """Return a kernel by name, None if there is none."""
    return _BY_NAME.get(name)


def kernel_by_number(number: int) -> Kernel | None:
    """Return a kernel by its id in the container, None if there is none."""
    return _BY_NUMBER.get(number)


def kernel_set(name: str, family: str = "portable") -> tuple[str, ...]:
    """Return the kernels of a named set, in the order of `OPS`.

    Args:
        family: Adds the packed forms of the set's kernels that such cores run; "host" adds those of
            every family.

    Raises:
        ConfigError: If there is no such set or family.
    """
    if name not in KERNEL_SETS:
        raise ConfigError(f"no kernel set '{name}'; there are {', '.join(KERNEL_SETS)}")
    return with_packed(KERNEL_SETS[name], family)


def with_packed(names: Iterable[str], family: str) -> tuple[str, ...]:
    """Return kernels and their packed forms for a family, in the order of `OPS`.

    Raises:
        ConfigError: If a kernel or the family is unknown.
    """
    if family not in FAMILIES:
        raise ConfigError(f"no kernel family '{family}'; there are {', '.join(FAMILIES)}")
    wanted = set(names)
    packed = {
        packing.kernel.name
        for packing in PACKINGS
        if packing.kernel.packs in wanted
        and (family == "host" or packing.kernel.family in FAMILIES[family])
    }
    return ordered(wanted | packed)


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


def takes_ids(names: Iterable[str]) -> bool:
    """Return whether a firmware with these kernels has a tokenizer: text becomes ids."""
    return not {"gather", "text_embed"}.isdisjoint(names)


def kernel_set_hash(names: Iterable[str]) -> bytes:
    """Return the BLAKE2b-64 of a set: of the lines "name revision", in the order of `OPS`."""
    lines = "".join(f"{name} {_BY_NAME[name].revision}\n" for name in ordered(names))
    return hashlib.blake2b(lines.encode(), digest_size=8).digest()
