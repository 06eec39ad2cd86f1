"""Write `docs/operators.md`: what edgekit compiles, from the tables of `edgekit.ops`.

python -m tools.operators
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.graph import MAX_RANK
from edgekit.ops import KERNEL_SETS, LOWERINGS, OPS
from edgekit.ops.logic import COMPARISONS
from edgekit.ops.real import BINARY, ONLY_REAL, UNARY
from edgekit.ops.wide_rules import WIDE_LOWERINGS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operators.md"

TYPES = {
    "GATHER": "int8, int32 indices",
    "ARG_MAX": "int8 to int32",
    "ARG_MIN": "int8 to int32",
    "ONE_HOT": "int32 to int8",
    "CUMSUM": "int32",
    "FLOOR_DIV": "int32",
    "FLOOR_MOD": "int32",
    "CAST": "bool, int32",
    "DEQUANTIZE": "float32",
    **{name: "bool" for name in LOWERINGS if name.startswith("LOGICAL_")},
    **dict.fromkeys(("REDUCE_ANY", "REDUCE_ALL"), "bool"),
    **dict.fromkeys(("SELECT", "SELECT_V2", *COMPARISONS), "int8, int32, bool"),
    **dict.fromkeys(("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"), "int8, int32"),
    **dict.fromkeys(("PAD", "PADV2", "STRIDED_SLICE", "SLICE"), "int8, int32"),
    **dict.fromkeys(ONLY_REAL, "float32"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "int8, int16 cell",
}


CHAINS = (
    ("ATTENTION", "attention", "softmax of a scaled product plus bias or mask, times values"),
    ("GRU", "gru", "the steps of an unrolled GRU, the reset before or behind the product"),
    ("NORM", "layer_norm", "LayerNorm, RMSNorm in any spelling, float islands inside included"),
    ("TABLE", "lut", "several functions of one tensor: SiLU, a GELU in parts"),
    ("TEXT", "text_*", "a sentence model from token ids to the pooled row; cost grows with tokens"),
)


def page() -> str:
    """Return the text of the page."""
    lines = [
        "# Operators",
        "",
        "Written by `python -m tools.operators` from `LOWERINGS`, `OPS` and "
        "`KERNEL_SETS` in `edgekit/ops/`.",
        "",
        "## Of `.tflite`",
        "",
        "The result equals LiteRT's reference kernel in every byte (of ELU and SUM its optimized "
        "kernel: LiteRT 2.3.0 has no reference for the one, and a broken one for the other, which "
        "computes in float32: an exact tie may differ by one). Activations are int8 with one "
        f"scale, tensors have at most {MAX_RANK} dimensions, shapes are fixed. A model has one "
        "input (int8, or int32 for token ids) and one output (int8, or int32 for indices).",
        "",
        "Other types at the ends of a file are stripped, and `edgekit check` says so. A float32 "
        "input or output: the model takes or gives the int8 values of the QUANTIZE or DEQUANTIZE "
        "there. A uint8 input: raw inputs are its bytes, a table of the image turns them into "
        "int8. A uint8 output: the model gives int8, 128 less.",
        "",
        "A truth value (bool) is an int8 of 0 or 1, int64 is computed as int32. An island is "
        "float32 arithmetic between DEQUANTIZE (or CAST of bool) and QUANTIZE (or a comparison), "
        "element by element, that depends on one int8 tensor and on constants of one value: it "
        "becomes one table. Inside, these operators are known: "
        f"{', '.join(sorted({*UNARY, *BINARY}))}.",
        "",
        "| operator | kernels | types | limits |",
        "|---|---|---|---|",
    ]
    for name, source in sorted(LOWERINGS.items()):
        kernels = ", ".join(f"`{kernel}`" for kernel in source.kernels)
        lines.append(f"| {name} | {kernels} | {TYPES.get(name, 'int8')} | {source.limits} |")
    lines += [
        "",
        "VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE and CALL_ONCE need no kernel: a variable is "
        "a tensor that keeps its value from one inference to the next. Its first value is a "
        "constant, and it is read before it is written.",
        "",
        "### With activations of 16 bits",
        "",
        "What the converter makes with "
        "`EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8`: int16 around 0, int8 "
        "weights, int64 biases; input and output are int16, or int8 behind a QUANTIZE. What only "
        f"moves has at most {MAX_RANK - 1} dimensions, because its bytes are one more. The "
        "limits above hold too.",
        "",
        "| operator | kernels | limits |",
        "|---|---|---|",
    ]
    for name, source in sorted(WIDE_LOWERINGS.items()):
        kernels = ", ".join(f"`{kernel}`" for kernel in source.kernels)
        lines.append(f"| {name} | {kernels} | {source.limits} |")
    sets = [name for name in KERNEL_SETS if name != "all"]
    lines += [
        "",
        "LiteRT has no SQUARED_DIFFERENCE of int16, and its PRELU lets a product of 16 bits "
        "overflow: both are refused.",
        "",
        "A `copy` vanishes where nobody needs the other shape.",
        "",
        "## Fused",
        "",
        "With `--fuse`, or `fuse = true` in `[export]`, these stand for chains of the above, found "
        "by what the chain computes. They round once, so the result is nearer to the float model; "
        "it no longer equals LiteRT's. Their definition is a NumPy function.",
        "",
        "| operator | kernel | stands for |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | `{kernel}` | {chain} |" for name, kernel, chain in CHAINS]
    lines += [
        "",
        "With `--pairs`, or `pairs = true` in `[export]`, a depthwise convolution and the "
        "pointwise one behind it become one kernel, `depthwise_pointwise`, where the plan of the "
        "arena shrinks by it: of the map between them only two pixels exist at a time. The "
        "outputs stay the same bytes. It is done for the layers that the arena is large for, the "
        "fewest that bring its peak down, and only when asked, because the one kernel is portable "
        "C: behind a channel multiplier of 2 it takes 18 % more instructions than the two on M4, "
        "4 % on M3. Where a model does not fit, `edgekit check` names it among the cheapest ways. "
        "With a channel multiplier of 2 or more the arena of the pair halves; with a multiplier "
        "of 1 overlapping buffers leave nothing to save (of nine pairs of MobileNets above 16 kB, "
        "from 2 % more to 7 % less; 21 % less for one with a 5x5 window), before the scratch of "
        "two pixels. For the first layers of a model `--patches` often does as well, and keeps "
        "their packed kernels; a pair may stand anywhere.",
        "",
        "## Kernels",
        "",
        "What a firmware is built with: `edgekit build --ops SET`, or a list of names. All are in "
        "the set `all`.",
        "",
        f"| kernel | number | works in place | {' | '.join(sets)} |",
        f"|---|---|---|{'---|' * len(sets)}",
    ]
    for kernel in (found for found in OPS if not found.packs):
        marks = " | ".join("yes" if kernel.name in KERNEL_SETS[name] else "" for name in sets)
        place = "yes" if kernel.in_place else ""
        lines.append(f"| `{kernel.name}` | {kernel.number} | {place} | {marks} |")
    lines += [
        "",
        "Packed forms have constants in the reading order of one family of cores. A firmware for "
        "such cores has those of its kernels, and `edgekit` uses them where they are exact.",
        "",
        "| packed form | number | of | for |",
        "|---|---|---|---|",
    ]
    for kernel in (found for found in OPS if found.packs):
        lines.append(f"| `{kernel.name}` | {kernel.number} | `{kernel.packs}` | {kernel.family} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}: {len(LOWERINGS)} operators, {len(OPS)} kernels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
