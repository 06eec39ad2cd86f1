"""Compile an int8 `.tflite` into a model image, and put a new head into one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import RefusedError, UnsupportedError
from edgekit.export.heads import (
    HEAD_MODES,
    appended_head,
    dense_named,
    head_of,
    with_dense,
    with_room,
)
from edgekit.formats.container import Section
from edgekit.formats.image import Features, Golden, Head, ImageMeta, image_id, write_image
from edgekit.formats.image_reader import image_sections, read_image
from edgekit.formats.tflite import read_tflite
from edgekit.graph import Graph
from edgekit.ops import kernel, ordered
from edgekit.ops.fixed import Rounding
from edgekit.passes.borders import strip_borders
from edgekit.passes.fuse import fuse as fuse_chains
from edgekit.passes.lower import lower, verify_kernels
from edgekit.passes.pack import pack, unpack
from edgekit.passes.pair import pair_if_smaller
from edgekit.passes.patch import MAX_PATCHES, macs_of, patch_if_smaller
from edgekit.passes.plan import Plan, plan_memory
from edgekit.passes.schedule import schedule
from edgekit.passes.simplify import simplify
from edgekit.runtime import Runner
from edgekit.runtime.text import GOLDEN_TEXTS, text_rows

ROUNDINGS = {"litert": Rounding.SINGLE, "tflm": Rounding.DOUBLE}
GOLDEN_SEED = 20240229
GOLDEN_COUNT = 4


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What one node costs.

    Attributes:
        name: Of the node.
        op: Its kernel.
        macs: Multiply-accumulates.
        outputs: Elements that it writes.
        arena_bytes: Bytes of the arena in use while it runs, scratch included.
        read_bytes: Bytes of its inputs, weights included, each counted once.
        written_bytes: Bytes of its outputs.
    """

    name: str
    op: str
    macs: int
    outputs: int
    arena_bytes: int
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model image and what it costs.

    Attributes:
        image: The bytes.
        id: BLAKE2b-256 of the bytes.
        meta: What the image says about itself.
        arena_bytes: Working memory, exact.
        flash_bytes: Bytes of the image.
        macs: Multiply-accumulates of one inference.
        ops: Kernels that the firmware needs.
        layers: Cost of each node, in order.
        notes: What differs from the file for the caller, a sentence each.
        nominal_macs: Multiply-accumulates of the file as it is, with channels that turned out
            constant or unread; None if the file is not known.
    """

    image: bytes
    id: bytes
    meta: ImageMeta
    arena_bytes: int
    flash_bytes: int
    macs: int
    ops: tuple[str, ...]
    layers: tuple[LayerCost, ...]
    notes: tuple[str, ...] = ()
    nominal_macs: int | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights, biases, multipliers and tables: all constants of the layers."""
        return image_sections(self.image)[Section.WEIGHTS][1]


def compile_tflite(
    source: bytes,
    *,
    name: str,
    version: str = "1",
    task: str = "",
    labels: tuple[str, ...] = (),
    license: str = "",
    data_license: str = "",
    features: Features | None = None,
    head: bool | str = False,
    head_mode: str = "widen",
    max_classes: int = 0,
    raw_golden: NDArray[np.uint8] | None = None,
    rounding: str = "litert",
    family: str = "portable",
    fuse: bool = False,
    passes: bool = True,
    patches: int = 1,
    pairs: bool = False,
) -> CompiledModel:
    """Compile an int8 `.tflite`; the outputs equal LiteRT's reference kernels in every byte.

    Args:
        source: The `.tflite` file.
        name: Of the model.
        version: Of the model.
        task: What it is for.
        labels: Of the classes.
        license: Of the model.
        data_license: Of its training data.
        features: Preprocessing; None: the raw bytes are the int8 input, or become it by the table
            of a file with uint8 input.
        head: True to make the last dense layer trainable, or the name of one.
        head_mode: What learns on the device: "widen" the layer as it is, "replace" it by one that
            begins with zeros, "append" one that reads the model's output and begins as identity.
        max_classes: Rows that the head may grow to on the device; 0 for as many as it has.
        raw_golden: uint8 [N, ...], raw inputs for golden vectors; None draws four with a fixed
            seed. As many are
            stored as fit in the larger of 8 kB and 5 % of the image, at least one, at most four.
        rounding: "litert", or "tflm" for dense layers as TensorFlow Lite Micro computes them.
        family: Kernel family that the constants are packed for, as a chip states it; the outputs
            are the same.
        fuse: Put operators of our own in place of chains of the file's: cheaper and nearer to the
            float model, but no longer equal to LiteRT.
        passes: False compiles operator by operator, without the exact passes over the whole.
        patches: Run the first layers in so many stripes of rows, 1 to 16, if that makes the arena
            smaller; the outputs are the same.
        pairs: Run depthwise layers together with the pointwise ones behind them where that makes
            the arena smaller; the outputs are the same.

    Raises:
        ConfigError: If there is no such family.
        FormatError: If the file is malformed.
        UnsupportedError: If it needs what edgekit does not have.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding is {rounding!r}, expected one of {', '.join(ROUNDINGS)}")
    if head_mode not in HEAD_MODES:
        raise ValueError(f"head_mode is {head_mode!r}, expected one of {', '.join(HEAD_MODES)}")
    if not 1 <= patches <= MAX_PATCHES:
        raise ValueError(f"patches is {patches}, expected 1 to {MAX_PATCHES}")
    stripped = strip_borders(read_tflite(source, name=name))
    model = stripped.graph
    if fuse:
        model, _ = fuse_chains(model)
    if features is None and stripped.table:
        features = Features("lut_u8", stripped.table)
    whole = lower(model, rounding=ROUNDINGS[rounding])
    appended = head is not False and head_mode == "append"
    trained = None if head is False or appended else dense_named(model, head)
    kept = frozenset() if trained is None else frozenset({trained.name})
    graph = simplify(whole, keep=kept) if passes else whole
    notes = stripped.notes
    if patches > 1:
        graph, note = patch_if_smaller(graph, patches, family)
        notes = (*notes, note)
    else:
        graph = schedule(graph)
    if pairs:
        graph, note = pair_if_smaller(graph, family)
        notes = (*notes, note)
    trainable = None if trained is None else head_of(model, graph, trained)
    graph = pack(_short_names(graph), family)
    if appended:
        trainable = appended_head(graph)
    if trainable is not None:
        trainable = with_room(trainable, head_mode, max_classes)
    meta = ImageMeta(
        name=name,
        version=version,
        task=task,
        labels=tuple(labels),
        license=license,
        data_license=data_license,
        kernel_family=family,
        kernel_ops=ordered({node.op for node in graph.nodes}),
        fused=fuse,
    )
    compiled = _finish(meta, graph, features or Features(), trainable, raw_golden)
    return replace(compiled, notes=notes, nominal_macs=macs_of(whole))


def _finish(
    meta: ImageMeta,
    graph: Graph,
    features: Features,
    head: Head | None,
    raw_golden: NDArray[np.uint8] | None,
) -> CompiledModel:
    """Plan, write, run the golden vectors, write again with them."""
    plan = plan_memory(graph)
    _require_apart(graph, plan)
    if len(graph.inputs) > 1 and head is not None:
        raise UnsupportedError(f"model '{graph.name}' has variables: it cannot have a head")
    bare = write_image(meta=meta, graph=graph, plan=plan, features=features, head=head, golden=())
    golden = _golden(bare, graph, features, raw_golden)
    image = write_image(
        meta=meta, graph=graph, plan=plan, features=features, head=head, golden=golden
    )
    layers = layer_costs(graph, plan.live_bytes)
    return CompiledModel(
        image=image,
        id=image_id(image),
        meta=meta,
        arena_bytes=plan.arena_bytes,
        flash_bytes=len(image),
        macs=sum(layer.macs for layer in layers),
        ops=meta.kernel_ops,
        layers=layers,
    )


def _require_apart(graph: Graph, plan: Plan) -> None:
    """Refuse variables that would be written before another one is read."""
    held, coming = graph.inputs[1:], graph.outputs[1:]
    for i, variable in enumerate(held):
        for j, value in enumerate(coming):
            gap = plan.offsets[value] - plan.offsets[variable]
            sizes = graph.tensor(variable).nbytes, graph.tensor(value).nbytes
            if i != j and -sizes[1] < gap < sizes[0]:
                name = graph.tensor(variable).name
                raise UnsupportedError(f"model '{graph.name}': a variable becomes '{name}'")


def layer_costs(graph: Graph, live_bytes: Sequence[int]) -> tuple[LayerCost, ...]:
    """Return what each node of a graph of kernels costs.

    Args:
        live_bytes: Bytes of the arena in use while each node runs.
    """
    layers = []
    for node, arena_bytes in zip(graph.nodes, live_bytes, strict=True):
        found = kernel(node.op)
        assert found is not None
        outputs = [graph.tensor(index) for index in node.outputs]
        inputs = {index: graph.tensor(index) for index in node.inputs if index >= 0}
        layers.append(
            LayerCost(
                name=node.name,
                op=node.op,
                macs=found.macs(graph, node),
                outputs=sum(tensor.elements for tensor in outputs),
                arena_bytes=arena_bytes,
                read_bytes=sum(tensor.nbytes for tensor in inputs.values()),
                written_bytes=sum(tensor.nbytes for tensor in outputs),
            )
        )
    return tuple(layers)


def _golden(
    image: bytes, graph: Graph, features: Features, raw: NDArray[np.uint8] | None
) -> tuple[Golden, ...]:
    runner = Runner(image)
    size = runner.raw_bytes
    if runner.takes_text:
        raw = text_rows(GOLDEN_TEXTS) if raw is None else raw
        size = raw[0].size if len(raw) else 0
    if raw is None:
        generator = np.random.default_rng(GOLDEN_SEED)
        raw = generator.integers(0, 256, (GOLDEN_COUNT, size), dtype=np.uint8)
        if runner.input_dtype == np.int32:
            # Token ids stay below 256: only the first byte of each counts.
            raw[:, np.arange(size) % 4 != 0] = 0
    if raw.ndim == 0 or len(raw) == 0 or raw.size != len(raw) * size:
        raise ValueError(f"golden inputs have shape {raw.shape}, expected [N, {size}]")
    rows = np.ascontiguousarray(raw).view(np.uint8).reshape(len(raw), size)
    vectors = []
    for row in rows:
        x = runner.prepare(row[None])
        runner.reset()
        vectors.append(Golden(row.tobytes(), x.tobytes(), runner.run(x).tobytes()))
    each = len(vectors[0].raw) * (features.kind != "none")
    each += len(vectors[0].input) + len(vectors[0].output)
    room = max(8000, len(image) // 20)
    return tuple(vectors[: max(1, min(GOLDEN_COUNT, room // each))])


def _short_names(graph: Graph) -> Graph:
    """Name nodes by the last parts of their paths, each once: they are for people."""
    taken: set[str] = set()
    nodes = []
    for position, node in enumerate(graph.nodes):
        path = [part for part in re.split(r"[/;:]", node.name.split(";")[0]) if part]
        words = [word for word in path if not re.fullmatch(r"(Stateful)?PartitionedCall.*", word)]
        short = "/".join((words or path or [node.op])[-2:])[-40:]
        if short in taken:
            short = f"{short[:34]}#{position}"
        taken.add(short)
        nodes.append(replace(node, name=short))
    return replace(graph, nodes=tuple(nodes))


def replace_head(
    image: bytes,
    *,
    version: str,
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    calibration: NDArray[np.int8],
) -> CompiledModel:
    """Return the image with a new int8 head made from float32, its golden vectors computed anew.

    Args:
        image: An image with a head.
        version: Of the new model.
        weights: float32 [k, h].
        bias: float32 [k].
        calibration: int8 [N, h], features of some inputs; the range of the new logits is
            taken from them.

    Raises:
        RefusedError: If the image has no head, shapes differ, a value is not finite, or what
            follows the head does not allow another output scale.
        QuantizationError: If bias or weights leave the range of int8 quantization.
    """
    old = read_image(image)
    head = old.head
    if head is None:
        raise RefusedError(f"model '{old.meta.name}' has no trainable head")
    if head.node == len(old.graph.nodes):
        raise RefusedError(
            f"model '{old.meta.name}' has a head behind its output: no layer can take its values"
        )
    w = np.asarray(weights, np.float64)
    b = np.asarray(bias, np.float64)
    if w.shape != (head.classes, head.features) or b.shape != (head.classes,):
        raise RefusedError(
            f"new head has weights {w.shape} and bias {b.shape}, "
            f"model '{old.meta.name}' has [{head.classes}, {head.features}]"
        )
    if not np.all(np.isfinite(w)) or not np.all(np.isfinite(b)):
        raise RefusedError("new head has a value that is not finite")
    if calibration.ndim != 2 or calibration.shape[1] != head.features or len(calibration) == 0:
        raise RefusedError(f"calibration has shape {calibration.shape}")
    real = (calibration.astype(np.float64) - head.zero_point) * head.scale
    graph = with_dense(unpack(old.graph), head, w, b, real @ w.T + b)
    graph = pack(verify_kernels(graph), old.meta.kernel_family)
    kernels = ordered({node.op for node in graph.nodes})
    meta = replace(old.meta, version=version, kernel_ops=kernels)
    fresh = replace(head, weights=w.astype(np.float32), bias=b.astype(np.float32))
    raw = np.stack([np.frombuffer(vector.raw, np.uint8) for vector in old.golden])
    return _finish(meta, graph, old.features, fresh, raw)
