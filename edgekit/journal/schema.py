"""The kinds of events and the types of their bodies; SCHEMA.md says the same in words.

A field is written as the name of a type, with `?` where it may be left out or null. An event that
does not fit is a mistake of the caller, so it is a ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

VERSION = 1


class Blob(Enum):
    """Whether a kind of event has a blob."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event.

    Attributes:
        fields: Key of the body to type: text, hex, int, number, bool, texts (list of text), object,
            any; a trailing `?` marks what may be absent or null.
    """

    name: str
    fields: Mapping[str, str]
    blob: Blob = Blob.NONE


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_hex(value: object) -> bool:
    return isinstance(value, str) and len(value) % 2 == 0 and set(value) <= set("0123456789abcdef")


def _is_int(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**64


def _is_number(value: object) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_TYPES: dict[str, Callable[[object], bool]] = {
    "text": _is_text,
    "hex": _is_hex,
    "int": _is_int,
    "number": _is_number,
    "bool": lambda value: isinstance(value, bool),
    "texts": _is_texts,
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "any": lambda value: True,
}


def _kind(name: str, fields: str, blob: Blob = Blob.NONE) -> Kind:
    pairs = (field.split(":") for field in fields.split())
    return Kind(name, dict(pairs), blob)


_LIST = [
    _kind(
        "board.described",
        "name:text chip:text core:text clock_hz:int ram_bytes:int flash_bytes:int slot_bytes:int"
        " arena_bytes:int has_fpu:bool support:text sensors:texts kernel_set_hash:hex?"
        " kernel_ops:texts? isa:text? has_dsp:bool? kernel_family:text? connectivity:texts?"
        " runtime:text? runtime_version:text? sensor_rates:object? ram_free:int? flash_free:int?",
    ),
    _kind(
        "model.registered",
        "name:text version:text image_id:hex image_bytes:int arena_bytes:int flash_bytes:int"
        " macs:int ops:texts task:text labels:texts license:text data_license:text"
        " quantization:text accuracy:object? trainable:bool head_features:int? head_classes:int?"
        " device_class:text? derived_from:hex? run:any? sensors:texts? training:text? dataset:text?"
        " metrics:object? layers:list? opset:int? input_shape:list? input_type:text?"
        " output_shape:list? input_rate_hz:number? min_runtime:text? kernel_family:text?"
        " fused:bool? weight_bytes:int? weights_sha256:hex?",
        Blob.OPTIONAL,
    ),
    _kind(
        "dataset.described",
        "name:text version:text? license:text? source:text? task:text? rows:int? classes:int?"
        " sensors:texts? sites:texts? sha256:hex?",
    ),
    _kind(
        "training.finished",
        "run:text datasets:texts image_id:hex? base_image:hex? task:text? seed:int? software:text?"
        " started_ms:int? settings:object?",
    ),
    _kind(
        "benchmark.measured",
        "image_id:hex board:text measured_by:text latency_us:int? energy_uj:int?"
        " peak_ram_bytes:int? instructions:int? tool_version:text?",
    ),
    _kind("device.added", "device:text board:text fleet:text site:text?"),
    _kind("device.claimed", "device:text token:hex"),
    _kind("device.presence", "device:text state:text boot:int"),
    _kind(
        "device.reported",
        "device:text boot:int board:text firmware:text kernel_set_hash:hex active_image:hex?"
        " counter:int update:object ram_free:int slot_free:int federated:object head_hash:hex?"
        " uptime_s:int desired_version:int battery_mv:int? sensors:texts?",
    ),
    _kind("device.desired", "device:text version:int manifest:hex? signature:hex? task:object?"),
    _kind("device.revoked", "device:text reason:text"),
    _kind(
        "release.published",
        "image_id:hex name:text version:text counter:int device_class:text manifest:hex"
        " signature:hex accuracy:any?",
        Blob.OPTIONAL,
    ),
    _kind(
        "release.refused",
        "image_id:hex name:text version:text reason:text accuracy:any? minimum:number?",
        Blob.OPTIONAL,
    ),
    _kind(
        "rollout.started",
        "rollout:text image_id:hex counter:int waves:list devices:texts"
        " device_class:text? limits:object?",
    ),
    _kind("rollout.wave", "rollout:text wave:int devices:texts"),
    _kind("rollout.device", "rollout:text device:text result:text status:int"),
    _kind("rollout.paused", "rollout:text reason:text"),
    _kind("rollout.resumed", "rollout:text reason:text"),
    _kind("rollout.halted", "rollout:text reason:text"),
    _kind("rollout.finished", "rollout:text reason:text"),
    _kind(
        "federated.opened",
        "run:any base_image:hex strategy:text rounds:int devices:texts epochs:int rate:number"
        " decay:number? deadline_s:number? target:int? min_updates:int? max_samples:int?"
        " settings:object? select:text? accept:hex?",
        Blob.OPTIONAL,
    ),
    _kind(
        "federated.round_opened",
        "run:any round:int base_hash:hex devices:texts deadline_s:number",
        Blob.OPTIONAL,
    ),
    _kind(
        "federated.update",
        "run:any round:int device:text samples:int accepted:bool reason:text? loss_first:number?"
        " loss_last:number?",
        Blob.OPTIONAL,
    ),
    _kind(
        "federated.secure_answer",
        "run:any round:int phase:text device:text accepted:bool reason:text?",
        Blob.OPTIONAL,
    ),
    _kind("federated.secure_phase", "run:any round:int phase:text members:texts after_s:number"),
    _kind(
        "federated.round_closed",
        "run:any round:int accepted:any rejected:any head_hash:hex accuracy:number?"
        " left_out:texts? away:texts? loss_first:number? loss_last:number? failed:text?",
        Blob.OPTIONAL,
    ),
    _kind("federated.finished", "run:any rounds:int head_hash:hex? reason:text", Blob.OPTIONAL),
    _kind("document.loaded", "graph:text media_type:text source:text", Blob.REQUIRED),
]

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _LIST}


def check_body(kind: str, body: Mapping[str, object], *, has_blob: bool) -> None:
    """Check an event's body against its kind.

    Raises:
        ValueError: Naming the kind, the key and what was expected.
    """
    known = KINDS.get(kind)
    if known is None:
        raise ValueError(f"event kind {kind!r} is not in edgekit/journal/schema.py")
    for name, declared in known.fields.items():
        value = body.get(name)
        optional = declared.endswith("?")
        if value is None:
            if not optional:
                raise ValueError(f"event {kind}: body has no {name!r}")
            continue
        expected = declared.removesuffix("?")
        if not _TYPES[expected](value):
            raise ValueError(f"event {kind}: {name!r} is {value!r:.80}, expected {expected}")
    unknown = sorted(set(body) - set(known.fields))
    if unknown:
        raise ValueError(f"event {kind}: unknown keys {unknown}")
    if has_blob and known.blob is Blob.NONE:
        raise ValueError(f"event {kind} takes no blob")
    if not has_blob and known.blob is Blob.REQUIRED:
        raise ValueError(f"event {kind} needs a blob")
