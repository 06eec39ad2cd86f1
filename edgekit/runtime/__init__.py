"""The C runtime on the host, through ctypes."""

from edgekit.runtime.host import build_host_library, host_library
from edgekit.runtime.runner import Runner

__all__ = ["Runner", "build_host_library", "host_library"]
