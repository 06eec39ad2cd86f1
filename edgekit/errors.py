"""Every exception that edgekit raises on purpose.

EdgekitError
├── FormatError            bytes from outside are malformed: model, frame, manifest, document
│   ├── UnsupportedError   well-formed, but asks for what edgekit does not do
│   └── LinkError          a frame, message or chunk that the protocol refuses
├── GraphError             a Graph breaks its own rules: a bug of the pass that made it
├── QuantizationError      scale, zero point, multiplier or shift out of range
├── CapacityError          a model does not fit a board
├── ConfigError            edgekit.toml, a board or a chip file
├── ToolError              a program or package that is needed is missing or failed
├── DeviceError            a device or emulator did not do what was asked
├── SecurityError          signature, hash, counter, token or credential
├── RefusedError           a gate said no: acceptance set, update check, shape
└── StoreError             journal, registry or another file of state
"""

from __future__ import annotations


class EdgekitError(Exception):
    """Base of all errors that carry a message for the user; the CLI prints it and exits 1."""


class FormatError(EdgekitError):
    """Bytes from outside are malformed."""


class UnsupportedError(FormatError):
    """The input is well-formed but needs something that edgekit does not do.

    Attributes:
        node: Name of the node, empty if it is not about one.
        op: Name of the operator, empty if it is not about one.
        others: Further nodes with such operators, as (node, operator).
    """

    def __init__(
        self,
        message: str,
        *,
        node: str = "",
        op: str = "",
        others: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.node = node
        self.op = op
        self.others = others


class LinkError(FormatError):
    """A frame, message or chunk is refused.

    Attributes:
        status: Number from `ek_status.def`, negative.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class GraphError(EdgekitError):
    """A Graph breaks its own rules."""


class QuantizationError(EdgekitError):
    """A quantization parameter is out of range."""


class CapacityError(EdgekitError):
    """A model does not fit a board.

    Attributes:
        needed_bytes: What the model needs.
        free_bytes: What the board has.
    """

    def __init__(self, message: str, *, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class ConfigError(EdgekitError):
    """A configuration, board or chip file is wrong."""


class ToolError(EdgekitError):
    """A program or package is missing or failed."""


class DeviceError(EdgekitError):
    """A device or emulator did not do what was asked."""


class SecurityError(EdgekitError):
    """A signature, hash, counter, token or credential is refused."""


class RefusedError(EdgekitError):
    """A gate said no."""


class StoreError(EdgekitError):
    """A file of state cannot be read or written."""
