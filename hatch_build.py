"""The wheel's build hook: packs shared files and the host's C libraries into edgekit/_share/."""

from __future__ import annotations

import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Folders of the checkout, and where `edgekit/share.py` finds them in an installed package.
SHARED = {
    "firmware": "edgekit/_share/firmware",
    "devices": "edgekit/_share/devices",
    "ontologies": "edgekit/_share/ontologies",
    "build/third_party/monocypher": "edgekit/_share/third_party/monocypher",
}


class ShareHook(BuildHookInterface[Any]):
    """Adds what a wheel needs beside the Python files; an editable install needs nothing."""

    scratch: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        for source, target in SHARED.items():
            if not (root / source).is_dir():
                raise SystemExit(f"{root / source} is missing; run 'make setup' first")
            build_data["force_include"][str(root / source)] = target
        self.scratch = tempfile.TemporaryDirectory(prefix="edgekit-wheel-")
        for library in self._build_libraries(Path(self.scratch.name)):
            build_data["force_include"][str(library)] = f"edgekit/_share/host/{library.name}"
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.scratch is not None:
            self.scratch.cleanup()

    def _build_libraries(self, out: Path) -> list[Path]:
        sys.path.insert(0, self.root)
        try:
            from edgekit.runtime.host import build_host_library
            from edgekit.runtime.learn_library import KINDS, build_learn_library

            return [
                build_host_library(out / "libedgekit.so"),
                *(build_learn_library(out / f"libedgekit_learn_{kind}.so", kind) for kind in KINDS),
            ]
        finally:
            sys.path.remove(self.root)
