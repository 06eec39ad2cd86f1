"""A small real model image for tests of the agent: two dense layers and a trainable head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekit.formats.image import Features, Golden, Head, ImageMeta, write_image
from edgekit.graph import DType, Graph, Node, Quant, Tensor
from edgekit.ops import ordered
from edgekit.passes.lower import lower
from edgekit.passes.plan import plan_memory
from edgekit.runtime import Runner

INPUTS, HIDDEN, FEATURES, CLASSES = 64, 256, 32, 10
# The model's input byte for each raw byte: half as bright, centred.
TABLE = (np.arange(256) // 2 - 64).astype(np.int8)


def _source(seed: int) -> tuple[Graph, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    tensors = [Tensor("input", (1, INPUTS), quant=Quant((0.02,), (3,)))]
    nodes = []
    last = np.zeros(0)
    sizes = ((INPUTS, HIDDEN, "RELU"), (HIDDEN, FEATURES, "NONE"), (FEATURES, CLASSES, "NONE"))
    for number, (columns, rows, activation) in enumerate(sizes):
        weights = generator.integers(-127, 128, (rows, columns)).astype(np.int8)
        bias = generator.integers(-500, 500, rows).astype(np.int32)
        scale = 0.002
        source = len(tensors) - 1 if number else 0
        x_scale = tensors[source].quant.scale  # type: ignore[union-attr]
        y_scale = x_scale * scale * 73 * float(np.sqrt(columns)) / 2
        tensors += [
            Tensor(f"w{number}", weights.shape, quant=Quant((scale,), (0,)), data=weights),
            Tensor(
                f"b{number}",
                bias.shape,
                DType.INT32,
                Quant((x_scale * scale,), (0,)),
                bias,
            ),
            Tensor(f"y{number}", (1, rows), quant=Quant((y_scale,), (-7,))),
        ]
        attrs = {"weights_format": 0, "keep_num_dims": False, "activation": activation}
        inputs = (source, len(tensors) - 3, len(tensors) - 2)
        nodes.append(Node(f"dense{number}", "FULLY_CONNECTED", inputs, (len(tensors) - 1,), attrs))
        last = weights.astype(np.float32) * np.float32(scale)
    graph = Graph("tiny", tuple(tensors), tuple(nodes), (0,), (len(tensors) - 1,))
    return graph, last, bias.astype(np.float32) * np.float32(x_scale * scale)


def tiny_image(*, seed: int = 1, version: str = "1", wrong_golden: bool = False) -> bytes:
    """Return the bytes of a model image; with wrong_golden its vectors do not hold."""
    source, weights, bias = _source(seed)
    graph = lower(source)
    read = source.tensor(source.nodes[-1].inputs[0]).quant
    assert read is not None
    head = Head(
        classes=CLASSES,
        max_classes=CLASSES,
        features=FEATURES,
        scale=read.scale,
        zero_point=read.zero_point,
        weights=weights,
        bias=bias,
        rate=0.05,
        node=len(graph.nodes) - 1,
    )
    meta = ImageMeta(
        name="tiny",
        version=version,
        task="test",
        labels=(),
        license="",
        data_license="",
        kernel_family="portable",
        kernel_ops=ordered({node.op for node in graph.nodes}),
        fused=False,
    )
    plan = plan_memory(graph)
    features = Features("lut_u8", TABLE.tobytes())

    def write(golden: tuple[Golden, ...]) -> bytes:
        return write_image(
            meta=meta, graph=graph, plan=plan, features=features, head=head, golden=golden
        )

    raw = np.random.default_rng(seed).integers(0, 256, (2, INPUTS), dtype=np.uint8)
    outputs = Runner(write(())).run_raw(raw)
    vectors = tuple(
        Golden(row.tobytes(), TABLE[row].tobytes(), output.tobytes())
        for row, output in zip(raw, outputs, strict=True)
    )
    if wrong_golden:
        output = bytearray(vectors[1].output)
        output[0] ^= 1
        vectors = (vectors[0], replace(vectors[1], output=bytes(output)))
    return write(vectors)


def labelled_samples(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 [N, INPUTS] around one centre per class, and the classes."""
    centres = np.random.default_rng(11).integers(0, 256, (CLASSES, INPUTS))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    raw = np.clip(centres[labels] + generator.normal(0, 20, (count, INPUTS)), 0, 255)
    return raw.astype(np.uint8), labels.astype(np.uint16)
