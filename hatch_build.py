"""The wheel's build hook: packs shared files and the host's C libraries into edgekit/_share/."""

from __future__ import annotations

import sys
import sysconfig
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

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        for source, target in SHARED.items():
            if not (root / source).is_dir():
                raise SystemExit(f"{root / source} is missing; run 'make setup' first")
            build_data["force_include"][str(root / source)] = target
        for name, library in self._libraries().items():
            build_data["force_include"][str(library)] = f"edgekit/_share/host/{name}"
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        build_data["pure_python"] = False

    def _libraries(self) -> dict[str, Path]:
        sys.path.insert(0, self.root)
        try:
            from edgekit.runtime.host import LIBRARY, host_library_path
            from edgekit.runtime.learn_library import KINDS, learn_library_path

            learn = {f"libedgekit_learn_{kind}.so": learn_library_path(kind) for kind in KINDS}
            return {LIBRARY: host_library_path(), **learn}
        finally:
            sys.path.remove(self.root)
