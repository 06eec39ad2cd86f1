"""Reads a model image `.ekm` back, and refuses what is no whole and consistent one.

Bytes: firmware/runtime/CONTAINER.md. Twin: firmware/runtime/ek_image.c, ek_sections.c
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import replace
from typing import Any

import cbor2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError, GraphError
from edgekit.formats import container as c
from edgekit.formats.container import Kind, Section
from edgekit.formats.image import DTYPES, Features, Golden, Head, Image, ImageMeta, image_id
from edgekit.graph import MAX_RANK, DType, Graph, Node, Quant, Tensor
from edgekit.ops import kernel_by_number
from edgekit.passes.lower import verify_kernels
from edgekit.passes.plan import Plan


class _Reader:
    """Reads numbers of one section and refuses to leave it."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.what = what

    def unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        size = struct.calcsize(layout)
        if offset < 0 or offset + size > len(self.data):
            raise FormatError(
                f"{self.what}: {size} bytes at offset {offset} of {len(self.data)} bytes"
            )
        return struct.unpack_from(layout, self.data, offset)

    def take(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > len(self.data):
            raise FormatError(
                f"{self.what}: {size} bytes at offset {offset} of {len(self.data)} bytes"
            )
        return self.data[offset : offset + size]


def image_sections(image: bytes) -> dict[Section, tuple[int, int]]:
    """Return offset and bytes of each section of an image that was read."""
    (count,) = struct.unpack_from("<I", image, 16)
    found = {}
    for number in range(count):
        at = c.HEADER_BYTES + c.SECTION_BYTES * number
        kind, offset, size = struct.unpack_from("<III", image, at)
        found[Section(kind)] = (offset, size)
    return found


def read_image(data: bytes) -> Image:
    """Read an image back: its graph of kernels, with all parameters.

    Tensor names are lost, and so are the scales of weights: multipliers stand for them. Bytes
    behind the image's end are refused; the C runtime allows them, because a slot is longer.

    Raises:
        FormatError: If the bytes are not a whole and consistent image.
    """
    sections = _split(data)
    meta = _read_meta(sections[Section.META])
    try:
        graph, plan = _read_graph(meta.name, sections)
        verify_kernels(graph)
    except GraphError as exc:
        raise FormatError(f"model image: {exc}") from exc
    features = _read_features(sections.get(Section.FEATURES), graph)
    return Image(
        id=image_id(data),
        meta=meta,
        graph=graph,
        plan=plan,
        features=features,
        head=_read_head(sections.get(Section.HEAD), graph),
        golden=_read_golden(sections.get(Section.GOLDEN), graph, features),
    )


def _split(data: bytes) -> dict[Section, bytes]:
    reader = _Reader(data, "model image")
    magic, version, total, crc, count = reader.unpack("<4sIIII", 0)
    if magic != c.MAGIC:
        raise FormatError(f"model image: starts with {magic!r}, expected {c.MAGIC!r}")
    if version != c.VERSION:
        raise FormatError(f"model image: version {version}, expected {c.VERSION}")
    if not c.HEADER_BYTES + c.SECTION_BYTES * count <= total <= len(data):
        raise FormatError(f"model image: {total} bytes stated, {len(data)} there")
    if total < len(data):
        raise FormatError(
            f"model image: has bytes behind its end: {total} stated, {len(data)} there"
        )
    found = zlib.crc32(data[16:total], zlib.crc32(data[:12]))
    if found != crc:
        raise FormatError(f"model image: checksum {crc:08x} stated, {found:08x} found")
    sections: dict[Section, bytes] = {}
    end = c.HEADER_BYTES + c.SECTION_BYTES * count
    for number in range(count):
        kind, offset, size, _ = reader.unpack("<IIII", c.HEADER_BYTES + c.SECTION_BYTES * number)
        if kind not in list(Section) or Section(kind) in sections:
            raise FormatError(f"model image: section {number} is of kind {kind}")
        if offset % c.SECTION_ALIGN or offset < end or offset + size > total:
            raise FormatError(f"model image: section {number} at {offset}, {size} bytes")
        sections[Section(kind)] = data[offset : offset + size]
        end = offset + size
    for needed in (Section.META, Section.OPS, Section.WEIGHTS, Section.PLAN):
        if needed not in sections:
            raise FormatError(f"model image: section {needed.name.lower()} is missing")
    return sections


def _read_meta(data: bytes) -> ImageMeta:
    try:
        value = cbor2.loads(data)
        again = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise FormatError(f"model image: meta: {exc}") from exc
    if again != data or not isinstance(value, dict) or list(value) != list(range(9)):
        raise FormatError("model image: meta is no deterministic map with keys 0 to 8")
    texts = [value[key] for key in (0, 1, 2, 4, 5, 6)]
    lists = [value[3], value[7]]
    flat = [*texts, *(item for part in lists if isinstance(part, list) for item in part)]
    if not all(isinstance(part, list) for part in lists) or not isinstance(value[8], bool):
        raise FormatError("model image: meta has a value of the wrong type")
    if not all(isinstance(item, str) for item in flat):
        raise FormatError("model image: meta has a value of the wrong type")
    return ImageMeta(
        name=value[0],
        version=value[1],
        task=value[2],
        labels=tuple(value[3]),
        license=value[4],
        data_license=value[5],
        kernel_family=value[6],
        kernel_ops=tuple(value[7]),
        fused=value[8],
    )


def _read_graph(name: str, sections: dict[Section, bytes]) -> tuple[Graph, Plan]:
    reader = _Reader(sections[Section.PLAN], "model image: plan")
    arena, tensor_count, dim_count, source, target = reader.unpack("<IIIII", 0)
    pool_at = c.PLAN_HEADER_BYTES + c.TENSOR_BYTES * tensor_count
    reader.take(pool_at, 4 * dim_count)
    weights = _Reader(sections[Section.WEIGHTS], "model image: weights")
    tensors, offsets = [], []
    for index in range(tensor_count):
        number, rank, kind, zero, scale, offset, first = reader.unpack(
            "<BBBbfII", c.PLAN_HEADER_BYTES + c.TENSOR_BYTES * index
        )
        if number not in DTYPES or rank > MAX_RANK or kind > Kind.WEIGHTS:
            raise FormatError(f"model image: tensor {index} has type {number}, rank {rank}")
        if first + rank > dim_count:
            raise FormatError(f"model image: tensor {index} has dimensions beyond {dim_count}")
        shape = reader.unpack(f"<{rank}I", pool_at + 4 * first)
        dtype = DTYPES[number]
        size = math.prod(shape) * dtype.size
        if not 0 < size <= c.MAX_BYTES:
            raise FormatError(f"model image: tensor {index} has shape {list(shape)}")
        values: NDArray[Any] | None = None
        if kind == Kind.WEIGHTS:
            raw = weights.take(offset, size)
            values = np.frombuffer(raw, np.dtype(dtype.value).newbyteorder("<")).reshape(shape)
            values = values.astype(dtype.value)
            offsets.append(-1)
        else:
            if offset + size > arena:
                raise FormatError(f"model image: tensor {index} ends behind the arena")
            offsets.append(offset)
        quant = Quant((scale,), (zero,)) if scale else None
        tensors.append(Tensor(f"t{index}", shape, dtype, quant, values))
    names = sections.get(Section.NAMES, b"").decode("utf-8", "replace").split("\n")
    nodes, scratch = _read_nodes(sections[Section.OPS], names)
    held, coming = _read_variables(sections.get(Section.VARIABLES), tensors)
    graph = Graph(name, tuple(tensors), nodes, (source, *held), (target, *coming))
    return graph, Plan(arena, tuple(offsets), scratch, ())


def _read_nodes(data: bytes, names: list[str]) -> tuple[tuple[Node, ...], tuple[int, ...]]:
    reader = _Reader(data, "model image: ops")
    node_count, word_count = reader.unpack("<II", 0)
    words_at = c.OPS_HEADER_BYTES + c.NODE_BYTES * node_count
    reader.take(words_at, 4 * word_count)
    nodes, scratches = [], []
    for position in range(node_count):
        number, inputs, outputs, first, count, scratch = reader.unpack(
            "<HBBIII", c.OPS_HEADER_BYTES + c.NODE_BYTES * position
        )
        found = kernel_by_number(number)
        if found is None:
            raise FormatError(f"model image: node {position} has operator {number}")
        if first + inputs + outputs + count > word_count:
            raise FormatError(f"model image: node {position} has words beyond {word_count}")
        ids = reader.unpack(f"<{inputs + outputs}I", words_at + 4 * first)
        params = reader.unpack(f"<{count}i", words_at + 4 * (first + inputs + outputs))
        name = names[position] if len(names) == node_count else f"node {position}"
        nodes.append(Node(name, found.name, ids[:inputs], ids[inputs:], found.unpack(params)))
        scratches.append(scratch)
    return tuple(nodes), tuple(scratches)


def _read_variables(data: bytes | None, tensors: list[Tensor]) -> tuple[list[int], list[int]]:
    """Give each variable its first value; return the variables and what they become."""
    held, coming = [], []
    reader = _Reader(data or bytes(4), "model image: variables")
    (count,) = reader.unpack("<I", 0)
    if count > c.MAX_VARIABLES:
        raise FormatError(f"model image: {count} variables, at most {c.MAX_VARIABLES} fit")
    for position in range(count):
        at = c.VARIABLES_HEADER_BYTES + c.VARIABLE_BYTES * position
        index, following, offset, size = reader.unpack("<IIII", at)
        if index >= len(tensors) or following >= len(tensors) or size != tensors[index].nbytes:
            raise FormatError(f"model image: variable {position} is tensor {index}")
        tensor = tensors[index]
        raw = np.frombuffer(
            reader.take(offset, size), np.dtype(tensor.dtype.value).newbyteorder("<")
        )
        initial = raw.reshape(tensor.shape).astype(tensor.dtype.value)
        tensors[index] = replace(tensor, initial=initial)
        held.append(index)
        coming.append(following)
    return held, coming


def _read_features(data: bytes | None, graph: Graph) -> Features:
    if data is None:
        return Features()
    reader = _Reader(data, "model image: features")
    kind, length = reader.unpack("<II", 0)
    if kind == c.FEATURES_BPE:
        source = graph.tensor(graph.inputs[0])
        if source.dtype != DType.INT32 or source.elements != length:
            raise FormatError(
                f"model image: tokenizer for {length} ids, the input is {source.dtype.value}"
                f" {list(source.shape)}"
            )
        return Features("bpe", data[c.FEATURES_HEADER_BYTES :])
    if kind != c.FEATURES_LUT_U8:
        raise FormatError(f"model image: features of kind {kind}")
    return Features("lut_u8", reader.take(c.FEATURES_HEADER_BYTES, 256))


def _read_head(data: bytes | None, graph: Graph) -> Head | None:
    if data is None:
        return None
    reader = _Reader(data, "model image: head")
    node, k, most, h, scale, zero, rate, _ = reader.unpack("<IIIIfifI", 0)
    if node > len(graph.nodes) or not 0 < k <= most <= 65535:
        raise FormatError(f"model image: head of node {node} with {k} of {most} classes")
    start = c.HEAD_HEADER_BYTES
    values = np.frombuffer(reader.take(start, 4 * (k * h + k)), "<f4").astype(np.float32)
    if not np.all(np.isfinite(values)) or not math.isfinite(scale) or not math.isfinite(rate):
        raise FormatError("model image: head has a value that is not finite")
    read = graph.nodes[node].inputs[0] if node < len(graph.nodes) else graph.outputs[0]
    if h != graph.tensor(read).elements:
        raise FormatError(f"model image: head has {h} features")
    return Head(k, most, h, scale, zero, values[: k * h].reshape(k, h), values[k * h :], rate, node)


def _read_golden(data: bytes | None, graph: Graph, features: Features) -> tuple[Golden, ...]:
    if data is None:
        return ()
    reader = _Reader(data, "model image: golden")
    count, raw_bytes, input_bytes, output_bytes = reader.unpack("<IIII", 0)
    expected = graph.tensor(graph.inputs[0]).nbytes
    with_raw = features.kind != "none"
    raw_expected = raw_bytes if features.kind == "bpe" else expected * with_raw
    if (raw_bytes, input_bytes, output_bytes) != (
        raw_expected,
        expected,
        graph.tensor(graph.outputs[0]).nbytes,
    ) or not 1 <= count <= 4:
        raise FormatError(f"model image: {count} golden vectors of {input_bytes} bytes")
    vectors = []
    offset = c.GOLDEN_HEADER_BYTES
    for _ in range(count):
        raw = reader.take(offset, raw_bytes)
        stored = reader.take(offset + raw_bytes, input_bytes)
        output = reader.take(offset + raw_bytes + input_bytes, output_bytes)
        vectors.append(Golden(raw if with_raw else stored, stored, output))
        offset += raw_bytes + input_bytes + output_bytes
    return tuple(vectors)
