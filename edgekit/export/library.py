"""A model as a C library: a folder that builds with one compiler line in anyone's firmware.

The sections of the image are constant arrays. What `ek_image_open` would find in it is a constant
as well, so the library carries no loader, only the executor and the kernels that the model uses.
What a program does not need, as the golden vectors, does not get into its flash. The text of what
is generated is in `templates/library/`; the rest are copies from `firmware/`, each led by a line
that gives its functions the model's prefix: two models can be linked into one program.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from string import Template

import edgekit
from edgekit.export import c_text
from edgekit.export.compile import CompiledModel
from edgekit.export.library_plan import narrowed, plan_tables
from edgekit.export.library_sources import NAMES, exported_names, library_sources
from edgekit.export.mcu import op_set_header
from edgekit.export.whole_folder import MANIFEST, write_folder
from edgekit.formats.container import Section
from edgekit.formats.image import Image
from edgekit.formats.image_reader import image_sections, read_image
from edgekit.graph import Tensor
from edgekit.ops import OPS
from edgekit.runtime import Runner

_TEMPLATES = Path(__file__).resolve().parent / "templates" / "library"
# Sections of the image that become arrays, and their names.
_ARRAYS = {
    "weights": Section.WEIGHTS,
    "features": Section.FEATURES,
    "head": Section.HEAD,
    "golden": Section.GOLDEN,
    "variables": Section.VARIABLES,
}
# What texts say of a model that streams, and of another.
_STATE = {
    True: {
        "state": "with a state in the arena",
        "arena_use": "From a reset on it holds the\n * state: it is the model's "
        "until the stream ends. Two arenas serve two streams.",
        "threads": "keep their state in the arena alone, so two threads may run the model at once "
        "in two arenas, each on a stream of its own: call the reset before the first run of a "
        "stream",
    },
    False: {
        "state": "no state",
        "arena_use": "Between two calls it may be used for\n * anything else. "
        "Two arenas serve two threads.",
        "threads": "keep no state, so two threads may run the model at once in two arenas",
    },
}
# Constants of `model.c` that `ek_resolve.c` reads.
_TABLES = tuple(f"ek_plan_{name}" for name in ("tensors", "nodes", "sides", "ids", "params"))


@dataclass(frozen=True, slots=True)
class Library:
    """A library that was written.

    Attributes:
        folder: Where it is.
        prefix: Of its functions; its macros have it in capitals.
        files: All files, relative to folder, sorted.
    """

    folder: Path
    prefix: str
    files: tuple[str, ...]


def write_library(model: CompiledModel, *, out: Path, prefix: str | None = None) -> Library:
    """Write the C library of a model into the folder out, whole or not at all.

    Args:
        prefix: Of its C names; None makes one from the model's name.

    Raises:
        ConfigError: If the prefix cannot be one, or there is something at out that edgekit did not
            write or that was changed since.
        FormatError: If the runtime refuses the image.
        ToolError: If sources of the runtime are missing.
    """
    files = library_files(model, prefix=prefix)
    write_folder(out, files)
    chosen = c_text.identifier(model.meta.name) if prefix is None else prefix
    return Library(out, chosen, tuple(sorted(files)))


def library_files(model: CompiledModel, *, prefix: str | None = None) -> dict[str, str]:
    """Return the text of each file of the library; equal models give equal text."""
    if prefix is None:
        prefix = c_text.identifier(model.meta.name)
    else:
        c_text.check_identifier(prefix)
    image = read_image(model.image)
    runner = Runner(model.image)
    if image.golden:
        runner.golden_check()
    values = _values(model, image, prefix)
    roots = ["ek_run", "ek_status", *(found.stem for found in OPS if found.name in model.ops)]
    roots += ["ek_features"] if image.features.kind != "none" else []
    roots += ["ek_train"] if image.head is not None else []
    streams = len(image.graph.inputs) > 1
    files = library_sources(
        roots,
        without=() if streams else ("ek_variables",),
        text=image.features.kind == "bpe",
    )
    for name in ("ek_op_table.c", "ek_resolve.c", "ek_plan.h"):
        files[f"src/{name}"] = _fill(name, values)
    if not streams:
        files["src/ek_variables.c"] = _fill("ek_variables.c", values)
    files["src/ek_ops.def"] = op_set_header(model.ops)
    names = {*exported_names(files), *_TABLES} - {"ek_status_text"}
    values["defines"] = "\n".join(f"#define {name} {prefix}_{name}" for name in sorted(names))
    parts = narrowed(image.graph)
    values["parts"] = "".join(f"#define {name} {wanted}\n" for name, wanted in parts.items())
    files[f"src/{NAMES}"] = _fill(NAMES, values)
    files["src/model.c"] = _fill("model.c", values)
    files["include/model.h"] = _fill("model.h", values)
    sources = [path for path in sorted(files) if path.endswith((".c", ".S"))]
    values["sources"] = "\n".join(f"    {path}" for path in sources)
    assembly = any(path.endswith(".S") for path in sources)
    values["languages"] = "C ASM" if assembly else "C"
    values["all_sources"] = "$MODEL/src/*.c" + (" $MODEL/src/*.S" if assembly else "")
    example = _fill("example.c", values)
    values["example"] = "".join(f"    {line}".rstrip() + "\n" for line in example.splitlines())
    files["example/main.c"] = example
    for name in ("CMakeLists.txt", "NOTICE", "README.md"):
        files[name] = _fill(name, values)
    files["LICENSE"] = (_TEMPLATES / "LICENSE").read_text(encoding="utf-8")
    files[MANIFEST] = _manifest(model, prefix, files)
    return files


def _manifest(model: CompiledModel, prefix: str, files: dict[str, str]) -> str:
    facts = {
        "edgekit": edgekit.__version__,
        "model": model.meta.name,
        "version": model.meta.version,
        "image_id": model.id.hex(),
        "prefix": prefix,
        "files": {
            path: hashlib.sha256(text.encode()).hexdigest() for path, text in sorted(files.items())
        },
    }
    return json.dumps(facts, indent=2) + "\n"


def _values(model: CompiledModel, image: Image, prefix: str) -> dict[str, str]:
    """Return what the templates ask for."""
    meta, graph = image.meta, image.graph
    x, y = graph.tensor(graph.inputs[0]), graph.tensor(graph.outputs[0])
    sections = image_sections(model.image)

    layers = [
        f"{layer.name} ({layer.op}): {_shape(graph.tensor(node.outputs[0]))}, {layer.macs:,}"
        for layer, node in zip(model.layers, graph.nodes, strict=True)
    ]
    values: dict[str, object] = {
        "prefix": prefix,
        "macro": prefix.upper(),
        "target": f"{prefix}_model",
        "model": c_text.comment(meta.name),
        "title": c_text.comment(meta.name) or prefix,
        "version": c_text.comment(meta.version),
        "license": c_text.comment(meta.license) or "not stated",
        "data_license": c_text.comment(meta.data_license) or "not stated",
        "image_id": model.id.hex(),
        "weights_text": f"{sections[Section.WEIGHTS][1]:,}",
        "facts": c_text.comment_lines(
            [
                f"Task: {meta.task or 'not stated'}",
                f"Licence: {meta.license or 'not stated'};"
                f" of its training data: {meta.data_license or 'not stated'}",
                f"Work: {model.macs:,} multiply-accumulates in {len(model.layers)} layers",
                f"Kernels: {', '.join(model.ops)}",
            ]
        ),
        "layers": c_text.comment_lines(layers),
        "ops": ", ".join(model.ops),
        "macs": f"{model.macs:,}",
        "arena_bytes": model.arena_bytes,
        "arena_text": f"{model.arena_bytes:,}",
        "input_offset": image.plan.offsets[graph.inputs[0]],
        "output_offset": image.plan.offsets[graph.outputs[0]],
        "input_bytes": x.nbytes,
        "input_shape": ", ".join(map(str, x.shape)),
        "output_bytes": y.nbytes,
        "output_shape": ", ".join(map(str, y.shape)),
        "golden_count": len(image.golden),
        "weights_bytes": sections[Section.WEIGHTS][1],
        "node_count": len(graph.nodes),
        "input": graph.inputs[0],
        "output": graph.outputs[0],
        "label_count": len(meta.labels),
        "labels": "\n".join(f"    {c_text.string_literal(label)}," for label in meta.labels),
    }
    for name, tensor in (("input", x), ("output", y)):
        values[f"{name}_scale"] = c_text.float_literal(tensor.quant.scale if tensor.quant else 0)
        values[f"{name}_zero_point"] = tensor.quant.zero_point if tensor.quant else 0
    if image.head is not None:
        values |= {
            "head_classes": image.head.classes,
            "head_features": image.head.features,
            "head_node": image.head.node,
            "head_scale": c_text.float_literal(image.head.scale),
            "head_zero_point": image.head.zero_point,
            "head_rate": c_text.float_literal(image.head.rate),
        }
    texts = {key: str(value) for key, value in values.items()}
    texts["arrays"] = "\n\n".join(
        f"_Alignas(16) static const uint8_t {array}_bytes[{sections[section][1]}] = {{\n"
        f"{c_text.byte_lines(_section(model.image, section))}\n}};"
        for array, section in _ARRAYS.items()
        if section in sections
    )
    texts |= plan_tables(_section(model.image, Section.OPS), _section(model.image, Section.PLAN))
    raw_bytes = len(image.golden[0].raw) if image.golden else 0
    features = f".features = features_bytes, .raw_bytes = {raw_bytes}u, "
    features = features if image.features.kind != "none" else ""
    golden = f".golden = golden_bytes, .golden_count = {len(image.golden)}u"
    texts["golden_fields"] = features + golden if image.golden else ".golden = NULL"
    parts = {
        "raw": image.features.kind == "lut_u8",
        "text": image.features.kind == "bpe",
        "head": image.head is not None,
        "labels": bool(meta.labels),
        "state": len(graph.inputs) > 1,
    }
    texts |= _STATE[parts["state"]]
    texts["variable_fields"] = (
        f"        .variables = variables_bytes, .variable_count = {len(graph.inputs) - 1}u, \\\n"
        if parts["state"]
        else ""
    )
    headers = ["ek.h", "ek_plan.h"]
    headers += ["ek_bytes.h", "ek_container.h", "ek_train.h"] * parts["head"]
    texts["includes"] = "\n".join(f'#include "{name}"' for name in headers)
    for name, wanted in parts.items():
        texts[f"{name}_declaration"] = _fill(f"model_{name}.h", texts) if wanted else ""
        texts[f"{name}_definition"] = _fill(f"model_{name}.c", texts) if wanted else ""
    return texts


def _section(image: bytes, section: Section) -> bytes:
    offset, size = image_sections(image)[section]
    return image[offset : offset + size]


def _shape(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"


def _fill(template: str, values: dict[str, str]) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return Template(text).substitute(values)
