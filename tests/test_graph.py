"""The rules of a graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.errors import GraphError
from edgekit.graph import DType, Graph, Node, Quant, Tensor, verify

X = Tensor("x", (1, 4), DType.INT8, Quant((0.5,), (3,)))
W = Tensor("w", (2, 4), DType.INT8, None, np.zeros((2, 4), np.int8))
Y = Tensor("y", (1, 2), DType.INT8, Quant((0.5,), (0,)))
GRAPH = Graph("g", (X, W, Y), (Node("n", "dense", (0, 1, -1), (2,)),), (0,), (2,))


def test_verify_returns_a_good_graph() -> None:
    assert verify(GRAPH) is GRAPH


@pytest.mark.parametrize(
    ("graph", "text"),
    [
        (replace(GRAPH, inputs=(9,)), "tensor 9 of 3"),
        (replace(GRAPH, inputs=(1,)), "is a constant"),
        (replace(GRAPH, nodes=()), "never written"),
        (replace(GRAPH, nodes=(Node("n", "dense", (2,), (2,)),)), "before it is written"),
        (replace(GRAPH, nodes=(Node("n", "dense", (7,), (2,)),)), "reads tensor 7"),
        (replace(GRAPH, nodes=(Node("n", "dense", (0,), (1,)),)), "writes 'w' again"),
        (replace(GRAPH, nodes=(Node("n", "dense", (0,), ()),)), "no output"),
        (replace(GRAPH, tensors=(replace(X, shape=(0, 4)), W, Y)), "has shape"),
        (replace(GRAPH, tensors=(replace(X, shape=(1,) * 7), W, Y)), "7 dimensions"),
        (replace(GRAPH, tensors=(X, replace(W, shape=(4, 2)), Y)), "its data is"),
        (replace(GRAPH, tensors=(X, W, replace(Y, quant=Quant((1.0, 1.0), (0,))))), "2 scales"),
        (replace(GRAPH, tensors=(X, W, replace(Y, quant=Quant((-1.0,), (0,))))), "not finite"),
    ],
)
def test_verify_names_what_is_broken(graph: Graph, text: str) -> None:
    with pytest.raises(GraphError, match=text):
        verify(graph)
