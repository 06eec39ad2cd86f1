"""A .tflite file on this machine's LiteRT, with the reference kernels: the oracle."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import UInt8Array
from edgekit.errors import FormatError, QuantizationError, ToolError

Int8Array = NDArray[np.int8]
Float32Array = NDArray[np.float32]

PACKAGES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


def make_interpreter(data: bytes, *, keep_all: bool = False) -> Any:
    """Load a .tflite into the first LiteRT package that works here, with reference kernels.

    That a package imports proves nothing (tflite-runtime imports with a NumPy it cannot use), so
    the choice is made by creating the interpreter.

    Args:
        data: The file.
        keep_all: Keep every intermediate tensor readable.

    Raises:
        ToolError: If no package works.
        FormatError: If the file is refused.
    """
    reasons = []
    for package in PACKAGES:
        try:
            module = importlib.import_module(package)
            interpreter = module.Interpreter(
                model_content=data,
                num_threads=1,
                experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF,
                experimental_preserve_all_tensors=keep_all,
            )
            interpreter.allocate_tensors()
        except (ImportError, SystemError) as exc:
            reasons.append(f"{package.partition('.')[0]}: {exc}")
        except (ValueError, RuntimeError) as exc:
            raise FormatError(f"LiteRT refuses the model: {exc}") from exc
        else:
            return interpreter
    raise ToolError(
        "no LiteRT interpreter works here; pip install 'edgekit[runtime]' ("
        + "; ".join(reasons)
        + ")"
    )


@dataclass(frozen=True, slots=True)
class TensorQuant:
    """Per-tensor int8 quantization: real = scale * (q - zero_point)."""

    scale: float
    zero_point: int

    def to_real(self, values: Int8Array) -> Float32Array:
        """Dequantize."""
        centred = values.astype(np.float32) - np.float32(self.zero_point)
        return np.float32(self.scale) * centred


class LiteModel:
    """An int8 .tflite with one input and one output.

    Attributes:
        ops: Operator names in order of execution.
        float_tensors: Names of tensors that are not integers.
        input: Quantization of the input, `output` of the output.
    """

    def __init__(self, data: bytes, *, keep_all: bool = False) -> None:
        self._interpreter = make_interpreter(data, keep_all=keep_all)
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise FormatError(f"model has {len(inputs)} inputs and {len(outputs)} outputs, not 1")
        self._in, self._out = inputs[0], outputs[0]
        tensors = self._interpreter.get_tensor_details()
        nodes = self._interpreter._get_ops_details()
        self._tensors = {tensor["index"]: tensor for tensor in tensors}
        self._nodes = [node for node in nodes if node["op_name"] != "DELEGATE"]
        self.ops = tuple(str(node["op_name"]) for node in self._nodes)
        self.float_tensors = tuple(
            str(t["name"]) for t in tensors if np.issubdtype(np.dtype(t["dtype"]), np.floating)
        )
        self.input = self._quant(self._in)
        self.output = self._quant(self._out)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return tuple(int(size) for size in self._in["shape"][1:])

    def run(self, inputs: Int8Array) -> Int8Array:
        """Infer int8 [N, ...] -> int8 [N, ...], one sample after the other."""
        return self._run(inputs, self._out["index"])

    def hidden(self, inputs: Int8Array) -> tuple[Int8Array, TensorQuant]:
        """Infer what the last fully-connected layer reads: int8 [N, features] and its quantization.

        Raises:
            ValueError: If the model was not loaded with `keep_all`.
        """
        dense = [node for node in self._nodes if node["op_name"] == "FULLY_CONNECTED"]
        if not dense:
            raise FormatError("model has no fully-connected layer")
        tensor = self._tensors[int(dense[-1]["inputs"][0])]
        features = self._run(inputs, tensor["index"])
        return features.reshape(len(inputs), -1), self._quant(tensor)

    def _run(self, inputs: Int8Array, tensor: int) -> Int8Array:
        interpreter, index = self._interpreter, self._in["index"]
        rows = []
        for sample in inputs.reshape(-1, 1, *self.shape):
            interpreter.set_tensor(index, sample)
            interpreter.invoke()
            rows.append(interpreter.get_tensor(tensor)[0])
        return np.stack(rows)

    def _quant(self, tensor: Any) -> TensorQuant:
        if np.dtype(tensor["dtype"]) != np.int8:
            raise QuantizationError(
                f"tensor {tensor['name']!r} is {np.dtype(tensor['dtype']).name}, not int8"
            )
        scale, zero_point = tensor["quantization"]
        return TensorQuant(float(scale), int(zero_point))


def input_table(quant: TensorQuant, *, max_value: int) -> bytes:
    """Make the table from raw byte to model input that a device applies, 256 int8 entries.

    The model's float input is raw / max_value; halves round away from zero, as LiteRT does.
    """
    real = np.arange(256, dtype=np.float64) / max_value
    steps = np.floor(real / quant.scale + 0.5) + quant.zero_point
    return np.clip(steps, -128, 127).astype(np.int8).tobytes()


def apply_table(table: bytes, raw: UInt8Array) -> Int8Array:
    """Turn raw samples into model inputs."""
    return np.frombuffer(table, dtype=np.int8)[raw]
