"""A model as a C library: a folder that builds with one compiler line in anyone's firmware.

The image is a constant array. What `ek_image_open` would find in it is a constant as well, so the
library carries no loader, only the executor and the kernels that the model uses. The text of what
is generated is in `templates/library/`; the rest are copies from `firmware/`, each led by a line
that gives its functions the model's prefix: two models can be linked into one program.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from string import Template

import edgekit
from edgekit import share
from edgekit.errors import ToolError
from edgekit.export import c_text
from edgekit.export.compile import CompiledModel
from edgekit.export.mcu import op_set_header
from edgekit.export.whole_folder import MANIFEST, write_folder
from edgekit.formats import container as c
from edgekit.formats.container import Section
from edgekit.formats.image import Image, read_image
from edgekit.graph import Tensor
from edgekit.runtime import Runner

# Where the sources of the library come from; one name stands in one folder only.
FOLDERS = ("include", "runtime", "kernels", "features")
PUBLIC = ("ek_status.h", "ek_status.def")
NAMES = "ek_names.h"

_TEMPLATES = Path(__file__).resolve().parent / "templates" / "library"
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"\n]+)"', re.MULTILINE)
# A definition at the beginning of a line that other files see.
_FUNCTION = re.compile(r"^(?!static\b|typedef\b)[a-z][\w *]*?\b(ek_\w+)\([^;\n]*$", re.MULTILINE)


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
    sources = _sources(model.ops, with_features=image.features.kind != "none")
    sources["src/ek_op_table.c"] = (_TEMPLATES / "ek_op_table.c").read_text(encoding="utf-8")
    sources["src/ek_ops.def"] = op_set_header(model.ops)
    values["defines"] = "\n".join(
        f"#define {name} {prefix}_{name}" for name in _exported(sources) if name != "ek_status_text"
    )
    files = {
        path: f'#include "{NAMES}"\n\n{text}' if path.endswith(".c") else text
        for path, text in sources.items()
    }
    files[f"src/{NAMES}"] = _fill(NAMES, values)
    files["src/model.c"] = _fill("model.c", values)
    files["include/model.h"] = _fill("model.h", values)
    values["sources"] = "\n".join(f"    {path}" for path in sorted(files) if path.endswith(".c"))
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


def _sources(ops: tuple[str, ...], *, with_features: bool) -> dict[str, str]:
    """Return what the kernels of ops and the executor are made of, by path in the library.

    A header is followed to the source of the same name: `ek_matmul_s8.h` brings `ek_matmul_s8.c`.
    """
    waiting = ["ek_run.c", *(f"ek_{op}_s8.c" for op in ops)]
    if with_features:
        waiting.append("ek_features.c")
    generated = {"ek_ops.def", "ek_op_table.c"}
    seen: set[str] = set()
    files: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in seen or name in generated:
            continue
        seen.add(name)
        path = _find(name)
        if path is None:
            raise ToolError(f"'{name}' is missing in edgekit's firmware; install edgekit again")
        text = path.read_text(encoding="utf-8")
        files[f"{'include' if name in PUBLIC else 'src'}/{name}"] = text
        waiting += _INCLUDE.findall(text)
        body = f"{Path(name).stem}.c"
        if name.endswith(".h") and _find(body) is not None:
            waiting.append(body)
    return files


def _find(name: str) -> Path | None:
    for folder in FOLDERS:
        path = share.firmware() / folder / name
        if path.is_file():
            return path
    return None


def _exported(sources: dict[str, str]) -> list[str]:
    return sorted(
        {
            name
            for path, text in sources.items()
            if path.endswith(".c")
            for name in _FUNCTION.findall(text)
        }
    )


def _values(model: CompiledModel, image: Image, prefix: str) -> dict[str, str]:
    """Return what the templates ask for."""
    meta, graph = image.meta, image.graph
    x, y = graph.tensor(graph.inputs[0]), graph.tensor(graph.outputs[0])
    sections = image_sections(model.image)
    ops_offset, _ = sections[Section.OPS]
    (word_count,) = struct.unpack_from("<I", model.image, ops_offset + 4)

    def place(section: Section) -> str:
        return f"image_bytes + {sections[section][0]}u" if section in sections else "NULL"

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
        "image_bytes": len(model.image),
        "image_text": f"{len(model.image):,}",
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
        "input_bytes": x.nbytes,
        "input_shape": ", ".join(map(str, x.shape)),
        "output_bytes": y.nbytes,
        "output_shape": ", ".join(map(str, y.shape)),
        "golden_count": len(image.golden),
        "bytes": c_text.byte_lines(model.image),
        "features": place(Section.FEATURES),
        "head": place(Section.HEAD),
        "golden": place(Section.GOLDEN),
        "meta_offset": sections[Section.META][0],
        "meta_bytes": sections[Section.META][1],
        "ops_offset": ops_offset,
        "weights_offset": sections[Section.WEIGHTS][0],
        "weights_bytes": sections[Section.WEIGHTS][1],
        "plan_offset": sections[Section.PLAN][0],
        "node_count": len(graph.nodes),
        "word_count": word_count,
        "tensor_count": len(graph.tensors),
        "input": graph.inputs[0],
        "output": graph.outputs[0],
        "head_node": image.head.node if image.head is not None else 0,
        "label_count": len(meta.labels),
        "labels": "\n".join(f"    {c_text.string_literal(label)}," for label in meta.labels),
    }
    for name, tensor in (("input", x), ("output", y)):
        values[f"{name}_scale"] = c_text.float_literal(tensor.quant.scale if tensor.quant else 0)
        values[f"{name}_zero_point"] = tensor.quant.zero_point if tensor.quant else 0
    texts = {key: str(value) for key, value in values.items()}
    for name, wanted in (("raw", image.features.kind != "none"), ("label", bool(meta.labels))):
        stem = {"raw": "model_raw", "label": "model_labels"}[name]
        texts[f"{name}_declaration"] = _fill(f"{stem}.h", texts) if wanted else ""
        texts[f"{name}_definition"] = _fill(f"{stem}.c", texts) if wanted else ""
    return texts


def _shape(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"


def image_sections(image: bytes) -> dict[Section, tuple[int, int]]:
    """Return offset and bytes of each section of an image that was read."""
    (count,) = struct.unpack_from("<I", image, 16)
    found = {}
    for number in range(count):
        at = c.HEADER_BYTES + c.SECTION_BYTES * number
        kind, offset, size = struct.unpack_from("<III", image, at)
        found[Section(kind)] = (offset, size)
    return found


def _fill(template: str, values: dict[str, str]) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return Template(text).substitute(values)
