"""The model image `.ekm`: what is in it, and its writer. `edgekit.formats.image_reader` reads it.

Bytes: firmware/runtime/CONTAINER.md. Twin: firmware/runtime/ek_image.c
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import cbor2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import GraphError
from edgekit.formats import container as c
from edgekit.formats.container import Kind, Section
from edgekit.graph import DType, Graph
from edgekit.ops import kernel
from edgekit.passes.plan import Plan

DTYPES = {c.TYPE_S8: DType.INT8, c.TYPE_S32: DType.INT32, c.TYPE_S16: DType.INT16}
"""Types of tensors by their number in the container."""
TYPE_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class ImageMeta:
    """What an image says about itself.

    Attributes:
        name: Of the model.
        version: Of the model, free text.
        task: What it is for, as "image classification".
        labels: Of the classes, in order; may be empty.
        license: Of the model.
        data_license: Of the data that it was trained on.
        kernel_family: For which kernels its weights are packed.
        kernel_ops: Kernels that it needs.
        fused: True if it was made with fused operators, whose results differ from LiteRT's.
    """

    name: str
    version: str
    task: str
    labels: tuple[str, ...]
    license: str
    data_license: str
    kernel_family: str
    kernel_ops: tuple[str, ...]
    fused: bool


@dataclass(frozen=True, slots=True)
class Golden:
    """One vector that a device must reproduce; `raw` equals `input` where there are no features."""

    raw: bytes
    input: bytes
    output: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The layer that is trained on the device.

    Attributes:
        classes: k.
        max_classes: How many classes the device may grow to.
        features: h.
        scale: Of the int8 features.
        zero_point: Of the int8 features.
        weights: float32 [k, h].
        bias: float32 [k].
        rate: Default learning rate.
        node: Number of the node that it replaces.
    """

    classes: int
    max_classes: int
    features: int
    scale: float
    zero_point: int
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    rate: float
    node: int = 0


@dataclass(frozen=True, slots=True)
class Features:
    """Preprocessing.

    Attributes:
        kind: "none": the raw bytes are the input. "lut_u8": input byte = table[raw byte]. "bpe":
            raw is text, the input its ids.
        table: 256 int8 values for "lut_u8", that of a tokenizer for "bpe", else empty.
    """

    kind: Literal["none", "lut_u8", "bpe"] = "none"
    table: bytes = b""


@dataclass(frozen=True, slots=True)
class Image:
    """An image, read."""

    id: bytes
    meta: ImageMeta
    graph: Graph
    plan: Plan
    features: Features
    head: Head | None
    golden: tuple[Golden, ...]


def image_id(data: bytes) -> bytes:
    """Return the id of an image: BLAKE2b-256 of its bytes."""
    return hashlib.blake2b(data, digest_size=32).digest()


def write_image(
    *,
    meta: ImageMeta,
    graph: Graph,
    plan: Plan,
    features: Features,
    head: Head | None,
    golden: tuple[Golden, ...],
) -> bytes:
    """Return the bytes of an image; equal arguments give equal bytes."""
    weights, offsets = _weights(graph)
    sections = [
        (Section.META, _meta(meta)),
        (Section.OPS, _ops(graph, plan)),
        (Section.WEIGHTS, weights),
        (Section.PLAN, _plan(graph, plan, offsets)),
    ]
    if features.kind == "lut_u8":
        if len(features.table) != 256:
            raise ValueError(f"table has {len(features.table)} values, expected 256")
        header = struct.pack("<IIII", c.FEATURES_LUT_U8, 0, 0, 0)
        sections.append((Section.FEATURES, header + features.table))
    if features.kind == "bpe":
        length = graph.tensor(graph.inputs[0]).elements
        header = struct.pack("<IIII", c.FEATURES_BPE, length, 0, 0)
        sections.append((Section.FEATURES, header + features.table))
    if head is not None:
        sections.append((Section.HEAD, _head(head)))
    if len(graph.inputs) > 1:
        sections.append((Section.VARIABLES, _variables(graph)))
    if golden:
        sections.append((Section.GOLDEN, _golden(golden, features)))
    names = "\n".join(node.name.replace("\n", " ") for node in graph.nodes)
    sections.append((Section.NAMES, names.encode()))
    return _join(sections)


def _join(sections: list[tuple[Section, bytes]]) -> bytes:
    offset = c.HEADER_BYTES + c.SECTION_BYTES * len(sections)
    table, body = b"", b""
    for kind, data in sections:
        padding = -(offset + len(body)) % c.SECTION_ALIGN
        body += bytes(padding)
        table += struct.pack("<IIII", kind, offset + len(body), len(data), 0)
        body += data
    body += bytes(-(offset + len(body)) % c.SECTION_ALIGN)
    start = c.MAGIC + struct.pack("<II", c.VERSION, offset + len(body))
    rest = struct.pack("<IIII", len(sections), 0, 0, 0) + table + body
    crc = zlib.crc32(rest, zlib.crc32(start))
    return start + struct.pack("<I", crc) + rest


def _meta(meta: ImageMeta) -> bytes:
    return cbor2.dumps(
        {
            0: meta.name,
            1: meta.version,
            2: meta.task,
            3: list(meta.labels),
            4: meta.license,
            5: meta.data_license,
            6: meta.kernel_family,
            7: list(meta.kernel_ops),
            8: meta.fused,
        },
        canonical=True,
    )


def _weights(graph: Graph) -> tuple[bytes, dict[int, int]]:
    blob = bytearray()
    offsets: dict[int, int] = {}
    for index, tensor in enumerate(graph.tensors):
        if tensor.data is None:
            continue
        blob += bytes(-len(blob) % c.SECTION_ALIGN)
        offsets[index] = len(blob)
        blob += tensor.data.astype(np.dtype(tensor.dtype.value).newbyteorder("<")).tobytes()
    return bytes(blob), offsets


def _ops(graph: Graph, plan: Plan) -> bytes:
    nodes, words = b"", b""
    count = 0
    for position, node in enumerate(graph.nodes):
        found = kernel(node.op)
        if found is None or len(node.inputs) + len(node.outputs) > c.MAX_NODE_TENSORS:
            raise GraphError(f"node '{node.name}' ({node.op}) does not fit the container")
        params = found.pack(node.attrs)
        ids = (*node.inputs, *node.outputs)
        nodes += struct.pack(
            "<HBBIII",
            found.number,
            len(node.inputs),
            len(node.outputs),
            count,
            len(params),
            plan.scratch[position],
        )
        words += struct.pack(f"<{len(ids)}I{len(params)}i", *ids, *params)
        count += len(ids) + len(params)
    return struct.pack("<IIII", len(graph.nodes), count, 0, 0) + nodes + words


def _plan(graph: Graph, plan: Plan, weights: dict[int, int]) -> bytes:
    tensors = b""
    pool: list[int] = []
    known: dict[tuple[int, ...], int] = {}
    for index, tensor in enumerate(graph.tensors):
        if tensor.shape not in known:
            known[tensor.shape] = len(pool)
            pool.extend(tensor.shape)
        constant = tensor.data is not None
        scale, zero = (tensor.quant.scale, tensor.quant.zero_point) if tensor.quant else (0.0, 0)
        tensors += struct.pack(
            "<BBBbfII",
            TYPE_NUMBERS[tensor.dtype],
            len(tensor.shape),
            Kind.WEIGHTS if constant else Kind.ARENA,
            zero,
            scale,
            weights[index] if constant else plan.offsets[index],
            known[tensor.shape],
        )
    header = struct.pack(
        "<IIIIIIII",
        plan.arena_bytes,
        len(graph.tensors),
        len(pool),
        graph.inputs[0],
        graph.outputs[0],
        0,
        0,
        0,
    )
    return header + tensors + struct.pack(f"<{len(pool)}I", *pool)


def _head(head: Head) -> bytes:
    header = struct.pack(
        "<IIIIfifI",
        head.node,
        head.classes,
        head.max_classes,
        head.features,
        head.scale,
        head.zero_point,
        head.rate,
        0,
    )
    return header + head.weights.astype("<f4").tobytes() + head.bias.astype("<f4").tobytes()


def _golden(golden: tuple[Golden, ...], features: Features) -> bytes:
    with_raw = features.kind != "none"
    first = golden[0]
    header = struct.pack(
        "<IIII", len(golden), len(first.raw) * with_raw, len(first.input), len(first.output)
    )
    return header + b"".join(
        (vector.raw if with_raw else b"") + vector.input + vector.output for vector in golden
    )


def _variables(graph: Graph) -> bytes:
    pairs = list(zip(graph.inputs[1:], graph.outputs[1:], strict=True))
    entries, values = b"", b""
    start = c.VARIABLES_HEADER_BYTES + c.VARIABLE_BYTES * len(pairs)
    for held, coming in pairs:
        tensor = graph.tensor(held)
        if tensor.initial is None:
            raise GraphError(f"graph '{graph.name}': variable '{tensor.name}' has no first value")
        data = tensor.initial.astype(np.dtype(tensor.dtype.value).newbyteorder("<")).tobytes()
        entries += struct.pack("<IIII", held, coming, start + len(values), len(data))
        values += data + bytes(-len(data) % 4)
    return struct.pack("<IIII", len(pairs), 0, 0, 0) + entries + values
