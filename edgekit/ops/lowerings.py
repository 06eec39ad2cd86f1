"""Source operators of `.tflite`: which kernels each becomes, and its limits."""

from __future__ import annotations

from edgekit.ops import (
    activation,
    blocks,
    conv,
    dense,
    elementwise,
    gather,
    layout,
    logic,
    lstm,
    pool,
    real,
    reduce,
    remap,
    resize,
    softmax,
    transpose_conv,
)
from edgekit.ops.base import Source

LOWERINGS: dict[str, Source] = {
    "CONV_2D": Source(
        conv.lower_conv_2d,
        ("conv_2d",),
        "int8 weights, scale per channel or one; at most 65,536 products per output",
    ),
    "DEPTHWISE_CONV_2D": Source(
        conv.lower_depthwise_conv_2d,
        ("depthwise_conv_2d", "conv_2d"),
        "any channel multiplier; at most 65,536 products per output",
    ),
    "TRANSPOSE_CONV": Source(
        transpose_conv.lower_transpose_conv,
        ("transpose_conv",),
        "int8 weights, scale per channel or one; at most 65,536 products per output",
    ),
    "FULLY_CONNECTED": Source(
        dense.lower_fully_connected,
        ("fully_connected",),
        "int8 weights, constant; with `--rounding tflm` its scale has 31 bits, else it rounds as "
        "LiteRT's float64",
    ),
    "BATCH_MATMUL": Source(dense.lower_batch_matmul, ("batch_matmul", "copy")),
    "ADD": Source(elementwise.lower_add, ("add", "index_binary")),
    "SUB": Source(elementwise.lower_sub, ("add", "index_binary")),
    "MUL": Source(elementwise.lower_mul, ("mul", "index_binary")),
    "MAXIMUM": Source(elementwise.lower_maximum, ("maximum", "index_binary"), "one scale for all"),
    "MINIMUM": Source(elementwise.lower_minimum, ("maximum", "index_binary"), "one scale for all"),
    "SQUARED_DIFFERENCE": Source(elementwise.lower_squared_difference, ("squared_difference",)),
    "PRELU": Source(elementwise.lower_prelu, ("prelu",)),
    "AVERAGE_POOL_2D": Source(
        pool.lower_average_pool_2d, ("average_pool_2d",), "windows up to 65,536 elements"
    ),
    "MAX_POOL_2D": Source(
        pool.lower_max_pool_2d, ("max_pool_2d",), "windows up to 65,536 elements"
    ),
    "MEAN": Source(reduce.lower_mean, ("mean",), "at most 8,388,608 elements"),
    "SUM": Source(
        reduce.lower_sum,
        ("mean",),
        "at most 8,388,608 elements; equals LiteRT's optimized kernel",
    ),
    "REDUCE_MAX": Source(
        reduce.lower_reduce_max, ("max_pool_2d", "copy"), "runs of at most 65,536 elements"
    ),
    "REDUCE_MIN": Source(
        reduce.lower_reduce_min, ("max_pool_2d", "lut", "copy"), "runs of at most 65,536 elements"
    ),
    "SOFTMAX": Source(softmax.lower_softmax, ("softmax",), "rows of at most 4,095 elements"),
    "LOGISTIC": Source(activation.lower_table, ("lut",)),
    "TANH": Source(activation.lower_table, ("lut",)),
    "RELU": Source(activation.lower_table, ("lut",)),
    "RELU6": Source(activation.lower_table, ("lut",)),
    "RELU_N1_TO_1": Source(activation.lower_table, ("lut",)),
    "HARD_SWISH": Source(
        activation.lower_table, ("lut",), "an output scale that is not too small for the input's"
    ),
    "LEAKY_RELU": Source(activation.lower_table, ("lut",)),
    "GELU": Source(activation.lower_table, ("lut",)),
    "QUANTIZE": Source(activation.lower_table, ("lut",)),
    "ABS": Source(activation.lower_table, ("lut",)),
    "NEG": Source(
        activation.lower_table,
        ("lut",),
        "equal scales, zero points 0: LiteRT negates the stored bytes",
    ),
    "EXP": Source(activation.lower_table, ("lut",)),
    "LOG": Source(activation.lower_table, ("lut",)),
    "SQRT": Source(
        activation.lower_table, ("lut",), "a value below 0 counts as 0; LiteRT refuses it"
    ),
    "RSQRT": Source(
        activation.lower_table, ("lut",), "a value below 0 counts as 0; LiteRT refuses it"
    ),
    "ELU": Source(activation.lower_table, ("lut",)),
    "DIV": Source(
        elementwise.lower_div,
        ("div", "lut"),
        "what C++ leaves undefined in LiteRT gives 0: divisors 0, coarse output scales",
    ),
    "RESHAPE": Source(layout.lower_reshape, ("copy",)),
    "SQUEEZE": Source(layout.lower_reshape, ("copy",)),
    "EXPAND_DIMS": Source(layout.lower_reshape, ("copy",)),
    "TRANSPOSE": Source(layout.lower_transpose, ("transpose", "copy")),
    "CONCATENATION": Source(
        layout.lower_concatenation, ("concatenation",), "at most 17 inputs, one scale for all"
    ),
    "PAD": Source(layout.lower_pad, ("pad", "copy"), "constant widths"),
    "PADV2": Source(
        layout.lower_pad, ("pad", "copy"), "constant widths and value, of int32 0 or -1"
    ),
    "STRIDED_SLICE": Source(
        layout.lower_strided_slice,
        ("strided_slice", "copy"),
        "no ellipsis, no new axes, constant bounds",
    ),
    "SLICE": Source(layout.lower_slice, ("strided_slice", "copy"), "constant bounds"),
    "SPLIT": Source(layout.lower_split, ("strided_slice", "copy")),
    "SPLIT_V": Source(layout.lower_split_v, ("strided_slice", "copy"), "constant sizes"),
    "PACK": Source(
        layout.lower_pack, ("concatenation", "copy"), "at most 17 inputs, one scale for all"
    ),
    "UNPACK": Source(layout.lower_unpack, ("strided_slice", "copy")),
    "REVERSE_V2": Source(layout.lower_reverse, ("strided_slice",)),
    "SPACE_TO_DEPTH": Source(blocks.lower_space_to_depth, ("transpose", "copy")),
    "DEPTH_TO_SPACE": Source(blocks.lower_depth_to_space, ("transpose", "copy")),
    "SPACE_TO_BATCH_ND": Source(
        blocks.lower_space_to_batch, ("pad", "transpose", "copy"), "constant blocks and widths"
    ),
    "BATCH_TO_SPACE_ND": Source(
        blocks.lower_batch_to_space,
        ("transpose", "strided_slice", "copy"),
        "constant blocks and widths",
    ),
    "BROADCAST_TO": Source(remap.lower_broadcast_to, ("remap", "copy"), "a shape of the file"),
    "MIRROR_PAD": Source(remap.lower_mirror_pad, ("remap", "copy"), "constant widths"),
    "TILE": Source(remap.lower_tile, ("remap", "copy"), "constant repeats"),
    "RESIZE_NEAREST_NEIGHBOR": Source(
        remap.lower_resize_nearest_neighbor, ("remap", "copy"), "constant size"
    ),
    "GATHER": Source(
        gather.lower_gather,
        ("gather", "index_binary", "copy"),
        "an index outside picks a row nearby",
    ),
    "ARG_MAX": Source(
        gather.lower_arg_max, ("arg_max",), "int32 indices, also where the file says int64"
    ),
    "ARG_MIN": Source(
        gather.lower_arg_min, ("arg_max",), "int32 indices, also where the file says int64"
    ),
    "ONE_HOT": Source(gather.lower_one_hot, ("one_hot",), "constant depth and values"),
    "FLOOR_DIV": Source(logic.lower_index_binary, ("index_binary",), "a division by 0 gives 0"),
    "FLOOR_MOD": Source(logic.lower_index_binary, ("index_binary",), "a division by 0 gives 0"),
    "CUMSUM": Source(logic.lower_cumsum, ("cumulate",)),
    "CAST": Source(
        logic.lower_cast,
        ("copy", "widen", "compare"),
        "between bool, int32 and int64; to float32 as the start of an island",
    ),
    "LOGICAL_AND": Source(logic.lower_logical_and, ("maximum",)),
    "LOGICAL_OR": Source(logic.lower_logical_or, ("maximum",)),
    "LOGICAL_NOT": Source(logic.lower_logical_not, ("lut",)),
    "REDUCE_ANY": Source(
        reduce.lower_reduce_max, ("max_pool_2d", "copy"), "runs of at most 65,536 elements"
    ),
    "REDUCE_ALL": Source(
        reduce.lower_reduce_min, ("max_pool_2d", "lut", "copy"), "runs of at most 65,536 elements"
    ),
    "SELECT": Source(logic.lower_select, ("select", "copy"), "one scale for all"),
    "SELECT_V2": Source(logic.lower_select, ("select",), "one scale for all"),
    **{
        name: Source(logic.lower_comparison, ("compare",), "scales below 1")
        for name in logic.COMPARISONS
    },
    "DEQUANTIZE": Source(
        activation.lower_real, ("lut",), "at the output, or as the start of an island"
    ),
    **{
        name: Source(activation.lower_real, ("lut",), "inside an island only")
        for name in real.ONLY_REAL
    },
    "RESIZE_BILINEAR": Source(resize.lower_resize_bilinear, ("resize_bilinear",), "constant size"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Source(
        lstm.lower_lstm,
        ("lstm",),
        "int8 weights, int16 cell; no peephole, projection, layer norm or coupled gates; starts "
        "anew in each inference",
    ),
}
"""Every source operator that edgekit compiles. docs/operators.md is this table."""
