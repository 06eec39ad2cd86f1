"""Source operators with int16 activations around 0, beside those with int8 in `edgekit.ops`.

Bytes move along one more dimension, so that what only moves has at most 5. Limits of the int8 form
hold too.
"""

from __future__ import annotations

from edgekit.ops import wide, wide_dense, wide_layout, wide_table
from edgekit.ops.base import Source

POWERS = "scales that are powers of two: equal shapes, one operand on the output's scale"

WIDE_LOWERINGS: dict[str, Source] = {
    "CONV_2D": Source(
        wide_dense.lower_conv_2d, ("conv_2d_s16",), "int8 weights, int64 bias of at most 48 bits"
    ),
    "DEPTHWISE_CONV_2D": Source(
        wide_dense.lower_depthwise_conv_2d,
        ("depthwise_conv_2d_s16",),
        "int8 weights, int64 bias of at most 48 bits",
    ),
    "FULLY_CONNECTED": Source(
        wide_dense.lower_fully_connected,
        ("fully_connected_s16",),
        "int8 weights, constant, int64 bias of at most 48 bits",
    ),
    "BATCH_MATMUL": Source(wide_dense.lower_batch_matmul, ("batch_matmul_s16", "copy")),
    "ADD": Source(wide.lower_add, ("add_s16",), POWERS),
    "SUB": Source(wide.lower_sub, ("add_s16",), POWERS),
    "MUL": Source(wide.lower_mul, ("mul_s16",)),
    "AVERAGE_POOL_2D": Source(
        wide.lower_average_pool_2d, ("average_pool_2d_s16",), "windows up to 32,768 elements"
    ),
    "MAX_POOL_2D": Source(
        wide.lower_max_pool_2d, ("max_pool_2d_s16",), "windows up to 32,768 elements"
    ),
    "MEAN": Source(wide.lower_mean, ("mean_s16",), "at most 65,535 elements"),
    "SUM": Source(
        wide.lower_reduce_sum,
        ("mean_s16",),
        "at most 65,535 elements; LiteRT sums in float32 and may differ by one near a tie",
    ),
    "SOFTMAX": Source(
        wide_table.lower_softmax, ("softmax_s16",), "rows of at most 65,535 elements"
    ),
    "LOGISTIC": Source(wide_table.lower_logistic, ("logistic_s16",)),
    "TANH": Source(wide_table.lower_logistic, ("logistic_s16",)),
    "EXP": Source(wide_table.lower_function, ("lut_s16",)),
    "LOG": Source(wide_table.lower_function, ("lut_s16",)),
    "RSQRT": Source(
        wide_table.lower_function, ("lut_s16",), "a value from 0 down gives the largest"
    ),
    "ABS": Source(wide.lower_abs, ("rescale_s16",)),
    "RELU": Source(wide.lower_relu, ("rescale_s16",)),
    "RELU6": Source(wide.lower_relu, ("rescale_s16",)),
    "LEAKY_RELU": Source(wide.lower_leaky_relu, ("rescale_s16",), "slopes from 0 up"),
    "QUANTIZE": Source(wide.lower_quantize, ("rescale_s16",), "from and to int8, int16, int32"),
    "RESHAPE": Source(wide_layout.lower_reshape, ("copy",)),
    "SQUEEZE": Source(wide_layout.lower_reshape, ("copy",)),
    "EXPAND_DIMS": Source(wide_layout.lower_reshape, ("copy",)),
    "TRANSPOSE": Source(wide_layout.lower_transpose, ("transpose", "copy")),
    "CONCATENATION": Source(wide_layout.lower_concatenation, ("concatenation", "copy")),
    "PAD": Source(wide_layout.lower_pad, ("pad", "copy")),
    "STRIDED_SLICE": Source(wide_layout.lower_strided_slice, ("strided_slice", "copy")),
    "SLICE": Source(wide_layout.lower_slice, ("strided_slice", "copy")),
    "SPLIT": Source(wide_layout.lower_split, ("strided_slice", "copy")),
    "SPLIT_V": Source(wide_layout.lower_split_v, ("strided_slice", "copy")),
    "PACK": Source(wide_layout.lower_pack, ("concatenation", "copy")),
    "UNPACK": Source(wide_layout.lower_unpack, ("strided_slice", "copy")),
    "REVERSE_V2": Source(wide_layout.lower_reverse, ("strided_slice", "copy")),
    "MIRROR_PAD": Source(wide_layout.lower_mirror_pad, ("remap", "copy")),
    "TILE": Source(wide_layout.lower_tile, ("remap", "copy")),
    "GATHER": Source(wide_layout.lower_gather, ("gather", "copy")),
}
"""Every source operator that edgekit compiles with int16 activations. docs/operators.md is this
table."""
