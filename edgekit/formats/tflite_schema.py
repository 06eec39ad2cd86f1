"""What edgekit reads of the `.tflite` schema: numbers of types, operators and their options.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3a.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.graph import DType

BUILTIN_OPERATORS: tuple[str, ...] = tuple(
    """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D
LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1
RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM
CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM
CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE
SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW
ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK
REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR
LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS
WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG
REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL
BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD
UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY
STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL
STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL
STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER
STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE
STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL
STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE
DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT
STABLEHLO_CBRT STABLEHLO_CASE
""".split()
)
"""Names of `BuiltinOperator`, from 0; CUSTOM is 32, PLACEHOLDER_FOR_GREATER_OP_CODES 127."""

TYPES: dict[int, DType] = {
    0: DType.FLOAT32,
    2: DType.INT32,
    3: DType.UINT8,
    4: DType.INT64,
    6: DType.BOOL,
    7: DType.INT16,
    9: DType.INT8,
}
"""`TensorType`, those that a Graph knows."""

RESOURCE = 13
"""`TensorType` of a handle of a variable."""

ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
PADDINGS = ("SAME", "VALID")


@dataclass(frozen=True, slots=True)
class Option:
    """One field of an operator's options table.

    Attributes:
        name: Name of the attribute of the node.
        index: Number of the field.
        code: Its type: a code of `struct`, or "padding", "activation", "bool".
        default: Its value if the field is not there.
    """

    name: str
    index: int
    code: str
    default: float = 0


_CONV = (
    Option("padding", 0, "padding"),
    Option("stride_w", 1, "i"),
    Option("stride_h", 2, "i"),
)
_POOL = (
    *_CONV,
    Option("filter_w", 3, "i"),
    Option("filter_h", 4, "i"),
    Option("activation", 5, "activation"),
)

OPTIONS: dict[str, tuple[Option, ...]] = {
    "CONV_2D": (
        *_CONV,
        Option("activation", 3, "activation"),
        Option("dilation_w", 4, "i", 1),
        Option("dilation_h", 5, "i", 1),
    ),
    "DEPTHWISE_CONV_2D": (
        *_CONV,
        Option("activation", 4, "activation"),
        Option("dilation_w", 5, "i", 1),
        Option("dilation_h", 6, "i", 1),
    ),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "FULLY_CONNECTED": (
        Option("activation", 0, "activation"),
        Option("weights_format", 1, "b"),
        Option("keep_num_dims", 2, "bool"),
    ),
    "BATCH_MATMUL": (Option("adj_x", 0, "bool"), Option("adj_y", 1, "bool")),
    "ADD": (Option("activation", 0, "activation"), Option("pot_scale_int16", 1, "bool", 1)),
    "SUB": (Option("activation", 0, "activation"), Option("pot_scale_int16", 1, "bool", 1)),
    "MUL": (Option("activation", 0, "activation"),),
    "DIV": (Option("activation", 0, "activation"),),
    "MEAN": (Option("keep_dims", 0, "bool"),),
    "SUM": (Option("keep_dims", 0, "bool"),),
    "REDUCE_MAX": (Option("keep_dims", 0, "bool"),),
    "REDUCE_MIN": (Option("keep_dims", 0, "bool"),),
    "PACK": (Option("axis", 1, "i"),),
    "UNPACK": (Option("axis", 1, "i"),),
    "GATHER": (Option("axis", 0, "i"), Option("batch_dims", 1, "i")),
    "ONE_HOT": (Option("axis", 0, "i"),),
    "CUMSUM": (Option("exclusive", 0, "bool"), Option("reverse", 1, "bool")),
    "REDUCE_ANY": (Option("keep_dims", 0, "bool"),),
    "REDUCE_ALL": (Option("keep_dims", 0, "bool"),),
    "MIRROR_PAD": (Option("mode", 0, "b"),),
    "SPACE_TO_DEPTH": (Option("block_size", 0, "i"),),
    "DEPTH_TO_SPACE": (Option("block_size", 0, "i"),),
    "RESIZE_NEAREST_NEIGHBOR": (
        Option("align_corners", 0, "bool"),
        Option("half_pixel_centers", 1, "bool"),
    ),
    "RESIZE_BILINEAR": (
        Option("align_corners", 2, "bool"),
        Option("half_pixel_centers", 3, "bool"),
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        Option("activation", 0, "activation"),
        Option("cell_clip", 1, "f"),
        Option("proj_clip", 2, "f"),
        Option("time_major", 3, "bool"),
        Option("diagonal_recurrent_tensors", 5, "bool"),
    ),
    "TRANSPOSE_CONV": (*_CONV, Option("activation", 3, "activation")),
    "SOFTMAX": (Option("beta", 0, "f"),),
    "LEAKY_RELU": (Option("alpha", 0, "f"),),
    "GELU": (Option("approximate", 0, "bool"),),
    "CONCATENATION": (Option("axis", 0, "i"), Option("activation", 1, "activation")),
    "STRIDED_SLICE": (
        Option("begin_mask", 0, "i"),
        Option("end_mask", 1, "i"),
        Option("ellipsis_mask", 2, "i"),
        Option("new_axis_mask", 3, "i"),
        Option("shrink_axis_mask", 4, "i"),
        Option("offset", 5, "bool"),
    ),
}
"""Options of the operators that have some; the rest has none that matter."""
