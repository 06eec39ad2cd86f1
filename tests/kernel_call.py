"""Call one C kernel of the host library directly, with tensors wherever a test wants them."""

from __future__ import annotations

import ctypes

import numpy as np

from edgekit.formats.image import TYPE_NUMBERS
from edgekit.graph import MAX_RANK, Graph, Node
from edgekit.ops import kernel
from edgekit.runtime.host import host_library

MAX_TENSORS = 18
APART = 0xFFFFFFFF


class CTensor(ctypes.Structure):
    """Twin: firmware/kernels/ek_kernel.h, ek_tensor."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("write", ctypes.c_void_p),
        ("dims", ctypes.c_uint32 * MAX_RANK),
        ("rank", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("zero_point", ctypes.c_int32),
        ("type", ctypes.c_uint32),
        ("constant", ctypes.c_uint32),
    ]


class CCall(ctypes.Structure):
    """Twin: firmware/kernels/ek_kernel.h, ek_call."""

    _fields_ = [
        ("tensors", CTensor * MAX_TENSORS),
        ("params", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("inputs", ctypes.c_uint32),
        ("outputs", ctypes.c_uint32),
        ("param_count", ctypes.c_uint32),
    ]


class CNeed(ctypes.Structure):
    """Twin: firmware/kernels/ek_kernel.h, ek_need."""

    _fields_ = [
        ("scratch_bytes", ctypes.c_uint32),
        ("lead", ctypes.c_uint32),
        ("begin", ctypes.c_uint32),
        ("joins", ctypes.c_uint32),
    ]


class KernelCall:
    """A node as its C kernel gets it.

    Attributes:
        node: The node.
        need: What its check asks for.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        found = kernel(node.op)
        assert found is not None
        library = host_library()
        self.node = node
        self.graph = graph
        self._run = getattr(library, found.stem)
        self._keep = [np.array(found.pack(node.attrs), "<i4")]
        self._call = CCall()
        self._call.params = self._keep[0].ctypes.data
        self._call.inputs, self._call.outputs = len(node.inputs), len(node.outputs)
        self._call.param_count = len(self._keep[0])
        for number, index in enumerate((*node.inputs, *node.outputs)):
            tensor, target = graph.tensor(index), self._call.tensors[number]
            target.dims[:] = (*tensor.shape, *(1,) * (MAX_RANK - len(tensor.shape)))
            target.rank, target.count = len(tensor.shape), tensor.elements
            target.zero_point = tensor.quant.zero_point if tensor.quant else 0
            target.type = TYPE_NUMBERS[tensor.dtype]
            if tensor.data is not None:
                self._keep.append(np.ascontiguousarray(tensor.data))
                target.data, target.constant = self._keep[-1].ctypes.data, 1
        self.need = CNeed(0, APART, APART, 0)
        check = getattr(library, f"{found.stem}_check")
        assert check(ctypes.byref(self._call), ctypes.byref(self.need)) == 0
        self._scratch = np.full(self.need.scratch_bytes + 16, 0x5A, np.uint8)

    def run(self, memory: np.ndarray, places: list[int]) -> None:
        """Run the kernel with its tensors at these places of uint8 memory; constants' count not."""
        for number, place in enumerate(places):
            target = self._call.tensors[number]
            if not target.constant:
                target.data = memory.ctypes.data + place
                target.write = target.data
        self._call.scratch = self._scratch.ctypes.data + -self._scratch.ctypes.data % 16
        self._run(ctypes.byref(self._call))
