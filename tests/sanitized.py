"""The host's compiler with sanitizers; programs of one way to compile share their objects."""

from __future__ import annotations

from edgekit.export.toolchain import Toolchain

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TOOLCHAIN = Toolchain(
    compiler="cc",
    package="gcc libc6-dev",
    core_flags=("-D_GNU_SOURCE",),
    link_flags=(*SANITIZE, "-lm"),
)
FLAGS = ("-std=c11", "-O1", "-g", "-ffp-contract=off", *SANITIZE)
