"""Run a model image on this machine, by the same C that runs on the board."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError, RefusedError
from edgekit.formats.image_reader import read_image
from edgekit.runtime.host import IMAGE_STRUCT_BYTES, host_library
from edgekit.runtime.repack import for_host
from edgekit.runtime.text import Answer, text_bytes

Int8Array = NDArray[np.int8]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]


ALIGN = 64
"""Of all memory here. Twin: firmware/kernels/ek_prepared.h, EK_PREPARED_ALIGN."""
COPIED_BYTES = 1 << 16
"""Inputs up to here are copied: that takes less time than asking where they lie."""


def _aligned(size: int) -> UInt8Array:
    """Return bytes that start at a multiple of ALIGN."""
    block = np.zeros(size + ALIGN, np.uint8)
    start = -block.ctypes.data % ALIGN
    return block[start : start + size]


class Runner:
    """One opened image with an arena of its own. Not for several threads at once.

    Attributes:
        image: The image that was given, read.
        input_shape: Of one input, as the model states it.
        output_shape: Of one output.
        input_dtype: int8, or int32 for token ids.
        output_dtype: int8, or int32 for indices.
        raw_bytes: Of one raw input; of an image that takes text, of a golden one.
        takes_text: True if the image has a tokenizer.
    """

    def __init__(self, image: bytes, *, as_packed: bool = False) -> None:
        """Open and prove an image.

        Args:
            as_packed: Run the very bytes, also where they are packed for a board. Else such an
                image is proven as it is, then laid out anew for this machine, which is faster.

        Raises:
            FormatError: If the runtime refuses it.
        """
        self._library = host_library()
        self._open(image)
        self.image = read_image(image)
        if not as_packed:
            mine = for_host(image)
            if mine is not image:
                self._open(mine)
        graph = self.image.graph
        self.input_shape = graph.tensor(graph.inputs[0]).shape
        self.output_shape = graph.tensor(graph.outputs[0]).shape
        self.input_dtype = np.dtype(graph.tensor(graph.inputs[0]).dtype.value)
        self.output_dtype = np.dtype(graph.tensor(graph.outputs[0]).dtype.value)
        self.takes_text = self.image.features.kind == "bpe"
        self._input_bytes = math.prod(self.input_shape) * self.input_dtype.itemsize
        self._arena = _aligned(self.arena_bytes)
        self._state = (self._struct.ctypes.data, self._arena.ctypes.data, self._arena.size)
        self._program = _aligned(self._library.ek_program_bytes(self._state[0]))
        self._at = self._program.ctypes.data
        self._check(self._library.ek_program_open(*self._state, self._at))
        leads_with_one = self.output_shape[:1] == (1,)
        self._row_shape = self.output_shape[1:] if leads_with_one else self.output_shape
        self._one = np.empty((1, *self._row_shape), self.output_dtype)
        self._one_at = self._one.ctypes.data
        self.reset()

    def _open(self, image: bytes) -> None:
        self._bytes = _aligned(len(image))
        self._bytes[:] = np.frombuffer(image, np.uint8)
        self._struct = _aligned(IMAGE_STRUCT_BYTES)
        status = self._library.ek_image_open(
            self._struct.ctypes.data, self._bytes.ctypes.data, len(image)
        )
        if status != 0:
            raise FormatError(f"model image: {self._text(status)}")

    def _text(self, status: int) -> str:
        text: bytes = self._library.ek_status_text(status)
        return text.decode()

    def _check(self, status: int) -> None:
        if status != 0:
            raise FormatError(f"model '{self.image.meta.name}': {self._text(status)}")

    @property
    def arena_bytes(self) -> int:
        """Working memory on this machine in bytes; `image.plan` has that of the image."""
        return int(self._library.ek_image_arena_bytes(self._struct.ctypes.data))

    @property
    def raw_bytes(self) -> int:
        """Bytes of one raw input."""
        return int(self._library.ek_image_raw_bytes(self._struct.ctypes.data))

    def reset(self) -> None:
        """Give variables their first values, as before the first input of a stream."""
        self._check(self._library.ek_state_reset(*self._state))

    def run(self, x: Int8Array | Int32Array) -> Int8Array:
        """Run the model on each of N inputs; variables live on from one to the next.

        Args:
            x: [N, ...] of `input_dtype`, each row with as many elements as the model's input.

        Returns:
            [N, ...] of `output_dtype` with the shape of the model's output without its leading 1.
        """
        self._prove(x, self.input_dtype)
        if len(x) == 1:
            # What a loop over single inputs spends here is a good part of a small model's time.
            self._check(self._library.ek_program_run(self._at, x.tobytes(), self._one_at, 1))
            return self._one.copy()
        out = np.empty((len(x), *self._row_shape), self.output_dtype)
        self._call(self._library.ek_program_run, x, out)
        return out

    def run_raw(self, raw: UInt8Array) -> Int8Array:
        """Run the model on each of N raw inputs, through its preprocessing.

        Args:
            raw: uint8 [N, ...], each row with `raw_bytes` elements; texts of any width, filled up
                with zero bytes.
        """
        return self.run(self.prepare(raw))

    def prepare(self, raw: UInt8Array) -> Int8Array | Int32Array:
        """Return the inputs of N raw ones: [N, ...] of `input_dtype`."""
        if self.takes_text and raw.ndim > 1:
            return self.text_ids([row.tobytes() for row in raw])
        self._prove(raw, np.dtype(np.uint8), self.raw_bytes)
        rows = np.ascontiguousarray(raw.reshape(len(raw), self.raw_bytes))
        x = np.empty((len(rows), self._input_bytes), np.int8)
        for number, row in enumerate(rows):
            self._check(
                self._library.ek_features_apply(
                    self._struct.ctypes.data, row.ctypes.data, x[number].ctypes.data
                )
            )
        return x.view(self.input_dtype)

    def text_ids(self, texts: Sequence[str | bytes]) -> Int32Array:
        """Return the ids of N texts: int32 [N, L], as the board finds them.

        Raises:
            RefusedError: If the image takes no text.
        """
        if not self.takes_text:
            raise RefusedError(f"model '{self.image.meta.name}' takes no text")
        out = np.empty((len(texts), self._input_bytes // 4), np.int32)
        count = ctypes.c_uint32()
        for row, text in zip(out, texts, strict=True):
            data = text_bytes(text)
            self._check(
                self._library.ek_text_apply(
                    self._struct.ctypes.data, data, len(data), row.ctypes.data, ctypes.byref(count)
                )
            )
        return out

    def run_text(self, text: str | bytes) -> Answer:
        """Classify one text.

        Raises:
            RefusedError: If the image takes no text, or its outputs are no int8.
        """
        return self.answer(self.run(self.text_ids([text]))[0])

    def answer(self, output: Int8Array) -> Answer:
        """Return what one output says; the board computes the same bits.

        Raises:
            RefusedError: If the outputs are no int8.
        """
        label, score = ctypes.c_uint32(), ctypes.c_float()
        row = np.ascontiguousarray(output)
        if row.dtype != np.int8:
            raise RefusedError(f"model '{self.image.meta.name}' gives {row.dtype}, no scores")
        self._check(
            self._library.ek_answer(
                self._struct.ctypes.data,
                row.ctypes.data,
                ctypes.byref(label),
                ctypes.byref(score),
            )
        )
        graph = self.image.graph
        quant = graph.tensor(graph.outputs[0]).quant
        scale, zero = (quant.scale, quant.zero_point) if quant else (1.0, 0)
        logits = (row.reshape(-1).astype(np.float32) - zero) * np.float32(scale)
        names = self.image.meta.labels
        name = names[label.value] if label.value < len(names) else str(label.value)
        return Answer(label.value, name, score.value, logits)

    def features(self, x: Int8Array) -> Int8Array:
        """Return what the head reads, for each of N inputs: int8 [N, h].

        Raises:
            RefusedError: If the image has no head.
        """
        if self.image.head is None:
            raise RefusedError(f"model '{self.image.meta.name}' has no trainable head")
        self._prove(x, self.input_dtype)
        out = np.empty((len(x), self.image.head.features), np.int8)
        self._call(self._library.ek_program_features, x, out)
        return out

    def golden_check(self) -> None:
        """Run the image's golden vectors.

        Raises:
            FormatError: If one differs, or there is none.
        """
        self._check(self._library.ek_golden_check(*self._state))

    def _prove(self, x: NDArray[Any], kind: np.dtype[Any], row_bytes: int | None = None) -> None:
        size = (self._input_bytes if row_bytes is None else row_bytes) // kind.itemsize
        if x.dtype != kind:
            raise TypeError(f"input is {x.dtype}, expected {kind}")
        if x.ndim == 0 or x.size != len(x) * size:
            raise ValueError(f"input has shape {x.shape}, expected [N, {size}]")

    def _call(self, function: ctypes._NamedFuncPointer, x: NDArray[Any], out: NDArray[Any]) -> None:
        """Call once for all inputs."""
        if x.nbytes <= COPIED_BYTES:
            self._check(function(self._at, x.tobytes(), out.ctypes.data, len(x)))
            return
        rows = np.ascontiguousarray(x)
        self._check(function(self._at, rows.ctypes.data, out.ctypes.data, len(x)))
