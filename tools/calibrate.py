"""Measure what kernels cost on emulated boards and write `edgekit/export/costs.toml` anew.

Code sizes come from builds with one kernel each; instructions from models of one node, run in the
emulator over a sweep of shapes. Prints how far the fitted coefficients are from each measurement.

    python -m tools.calibrate                      every core
    python -m tools.calibrate cortex-m4 cortex-m0  these, the others stay as they are
    python -m tools.calibrate --kernels gru,lstm   these kernels on every core; code only if new
    python -m tools.calibrate --base               what an agent needs besides kernels
"""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.boards import Board, load_board
from edgekit.export.costs import FEATURES, TABLE, run_features
from edgekit.export.mcu import Firmware, build_firmware
from edgekit.flash.bench import BoardRun, run_on_board
from edgekit.formats.image import Features, ImageMeta, write_image
from edgekit.formats.image_reader import read_image
from edgekit.graph import DType, Graph, Tensor
from edgekit.ops import kernel_set, ordered
from edgekit.passes.lower import lower
from edgekit.passes.pack import pack
from edgekit.passes.plan import plan_memory
from tools.sweeps import cases

CORES = {
    "cortex-m4": ("mps2_an386", "netduinoplus2"),
    "cortex-m55": ("mps3_an547", ""),
    "cortex-m3": ("mps2_an385", ""),
    "cortex-m0": ("mps2_an385_v6m", "microbit_v1"),
    "rv32imac": ("rv32_virt", "rv32_virt"),
}
"""Per core the board whose instructions are counted, and one without an agent."""
REFERENCE = "copy"
"""A kernel of few parts: what a firmware with it alone has is not a kernel's."""


def image_of(source: Graph, family: str = "portable") -> bytes:
    """Compile a model without golden vectors."""
    graph = pack(lower(source), family)
    ops = ordered({node.op for node in graph.nodes})
    meta = ImageMeta(source.name, "1", "", (), "", "", family, ops, fused=False)
    return write_image(
        meta=meta, graph=graph, plan=plan_memory(graph), features=Features(), head=None, golden=()
    )


Table = dict[str, Any]
Rows = list[tuple[tuple[float, ...], float]]


def measure(
    board: Board, firmware: Firmware, work: Path, kernels: Collection[str]
) -> tuple[dict[str, Rows], Rows]:
    """Run every model with one of the kernels.

    Returns:
        Rows of (features, instructions) by kernel, and of whole runs.
    """
    rng = np.random.default_rng(2)
    by_op: dict[str, Rows] = {}
    runs: Rows = []
    for source in cases():
        packed, plain = image_of(source, board.chip.kernel_family), image_of(source)
        if not any(
            {node.op for node in read_image(image).graph.nodes} & set(kernels)
            for image in (packed, plain)
        ):
            continue
        inputs = draw_input(source.tensors[0], rng)
        graphs = {image: read_image(image).graph for image in (packed, plain)}
        if graphs[packed].nodes == graphs[plain].nodes:
            del graphs[plain]
        for image, graph in graphs.items():
            result: BoardRun = run_on_board(board, image, inputs, firmware=firmware, work=work)
            if result.check_loop.measured != result.check_loop.expected:
                raise SystemExit(f"check loop: {result.check_loop}")
            for node, count in zip(graph.nodes, result.layers, strict=True):
                by_op.setdefault(node.op, []).append((FEATURES[node.op](graph, node), count))
            rest = float(result.instructions[0]) - sum(result.layers)
            runs.append((run_features(graph), rest))
    return by_op, runs


INPUT_RANGES = {DType.INT16: (-32768, 32768), DType.INT32: (1, 100)}
"""A sentence ends at its last id that is not 0."""


def draw_input(x: Tensor, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Draw one input, [1, ...] where the model has no such dimension."""
    shape = x.shape if x.shape[:1] == (1,) else (1, *x.shape)
    low, high = (0, 2) if x.dtype is DType.BOOL else INPUT_RANGES.get(x.dtype, (-128, 128))
    dtype = "int8" if x.dtype is DType.BOOL else x.dtype.value
    return rng.integers(low, high, shape).astype(dtype)


def fit(rows: Rows) -> tuple[npt.NDArray[np.float64], float]:
    """Return coefficients >= 0 of least relative squares, and the largest relative error."""
    from scipy.optimize import nnls

    matrix = np.array([values for values, _ in rows])
    counts = np.array([max(count, 1.0) for _, count in rows])
    coefficients, _ = nnls(matrix / counts[:, None], np.ones(len(counts)))
    errors = np.abs(matrix @ coefficients / counts - 1)
    return coefficients, float(errors.max())


def flash_symbols(board: Board, firmware: Firmware) -> dict[str, int]:
    """Return the bytes of each symbol in flash."""
    sizes: dict[str, int] = {}
    for symbol in firmware.sizes.symbols:
        if symbol.address < board.chip.ram_base:
            sizes[symbol.name] = sizes.get(symbol.name, 0) + symbol.bytes
    return sizes


def measure_code(
    board: Board, work: Path, kernels: Collection[str], known: Collection[str]
) -> tuple[int, dict[str, int], dict[str, list[str]]]:
    """Build with each kernel alone.

    Args:
        board: What it is built for.
        work: Where.
        kernels: Those to build.
        known: Parts of the reference kernel, from an earlier run; none if all are built.

    Returns:
        The base, bytes of parts, and parts of kernels.
    """
    if not kernels:
        return 0, {}, {}
    builds = {op: build_firmware(board, ops=(op,), out=work) for op in {*kernels, REFERENCE}}
    symbols = {op: flash_symbols(board, firmware) for op, firmware in builds.items()}
    if known:
        # A stub has the name of what stands in for it: only with the same size it is the same.
        common = {item for item in symbols[REFERENCE].items() if item[0] not in known}
    else:
        names = set.intersection(*(set(sizes) for sizes in symbols.values()))
        common = {item for sizes in symbols.values() for item in sizes.items() if item[0] in names}
    parts: dict[str, int] = {}
    op_parts = {}
    bases = []
    for op in kernels:
        own = dict(sorted(item for item in symbols[op].items() if item not in common))
        parts.update(own)
        op_parts[op] = list(own)
        bases.append(builds[op].flash_bytes - sum(own.values()))
    return round(sum(bases) / len(bases)), dict(sorted(parts.items())), op_parts


def measure_core(core: str, work: Path, wanted: Collection[str], old: Table) -> Table:
    """Measure a core.

    Args:
        core: Name.
        work: Folder of builds and runs.
        wanted: Kernels whose instructions to measure, and code if the table has none; empty: all.
        old: Its table as it is; what is not measured stays.
    """
    name, bench_name = CORES[core]
    board = load_board(name)
    table: Table = dict(old) if wanted else {}
    everything = kernel_set("all", board.chip.kernel_family)
    kernels = ordered(set(wanted) & set(everything)) if wanted else everything
    firmware = build_firmware(board, ops=everything, out=work / "all")
    known = old["op_parts"][REFERENCE] if wanted else ()
    fresh = [op for op in kernels if not wanted or op not in old["op_parts"]]
    base, parts, op_parts = measure_code(board, work / "code", fresh, known)
    if not wanted:
        if board.agent:
            table |= {"base_flash_bytes": base, "static_ram_bytes": firmware.static_bytes}
        if bench_name:
            bench = load_board(bench_name)
            if bench_name != name:
                base, _, _ = measure_code(bench, work / "bench", kernels, ())
            small = build_firmware(bench, ops=kernels, out=work / "bench_all")
            table |= {"bench_flash_bytes": base, "bench_ram_bytes": small.static_bytes}
    by_op, runs = measure(board, firmware, work / "run", kernels)
    if not wanted:
        table["run"] = _fitted(core, "run", runs)
    counted = {op: _fitted(core, op, by_op[op]) for op in kernels if op in by_op}
    table["instructions"] = _merged(table.get("instructions", {}), counted)
    table["parts"] = dict(sorted((table.get("parts", {}) | parts).items()))
    table["op_parts"] = _merged(table.get("op_parts", {}), op_parts)
    return table


def measure_base(core: str, work: Path, old: Table) -> Table:
    """Measure what firmware needs besides kernels; the rest of the core's table stays."""
    board = load_board(CORES[core][0])
    if not board.agent:
        return old
    kernels = kernel_set("all", board.chip.kernel_family)
    firmware = build_firmware(board, ops=kernels, out=work / "all")
    base, _, _ = measure_code(board, work / "code", kernels, ())
    print(f"{core} base {base} bytes of flash, {firmware.static_bytes} of RAM", flush=True)
    return old | {"base_flash_bytes": base, "static_ram_bytes": firmware.static_bytes}


def _merged(old: Table, new: Table) -> Table:
    """Return a table of kernels in the order of `OPS`."""
    both = old | new
    return {op: both[op] for op in ordered(both)}


def _fitted(core: str, name: str, rows: Rows) -> list[float]:
    coefficients, worst = fit(rows)
    print(f"{core} {name:<24} {len(rows):>3} measurements, worst {100 * worst:5.1f} %", flush=True)
    return list(coefficients)


def text_of(table: dict[str, dict[str, Any]]) -> str:
    """Return the file."""
    lines = ["# What kernels cost on a core. Written by `python -m tools.calibrate`; see costs.py."]
    for core, values in table.items():
        lines += [f"[{core}]"]
        lines += [f"{key} = {_value(v)}" for key, v in values.items() if not isinstance(v, dict)]
        for key, rows in values.items():
            if isinstance(rows, dict):
                lines += ["", f"[{core}.{key}]"]
                lines += [f"{_key(name)} = {_value(value)}" for name, value in rows.items()]
        lines.append("")
    return "\n".join(lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"\w+", name) else f'"{name}"'


def _value(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], float):
        return "[" + ", ".join(f"{number:.3f}" for number in value) + "]"
    return str(value).replace("'", '"')


def main() -> int:
    """Measure, fit, write."""
    cores, wanted = sys.argv[1:], tuple[str, ...]()
    if cores[:1] == ["--kernels"]:
        wanted = ordered(cores[1].split(","))
        cores = cores[2:]
    if base_alone := cores[:1] == ["--base"]:
        cores = cores[1:]
    unknown = sorted(set(cores) - set(CORES))
    if unknown:
        print(f"no core '{unknown[0]}'; there are {', '.join(CORES)}", file=sys.stderr)
        return 2
    for core in cores or list(CORES):
        table: dict[str, Table] = tomllib.loads(TABLE.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder:
            old = table.get(core, {})
            table[core] = (
                measure_base(core, Path(folder), old)
                if base_alone
                else measure_core(core, Path(folder), wanted, old)
            )
        TABLE.write_text(text_of(table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
