"""`edgekit doctor`: what this machine has, what it lacks, and the command that mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import typer


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a part of edgekit needs.

    Attributes:
        name: Program or package.
        needed_for: What does not work without it.
        found: Version or path, empty if it is missing.
        mend: Command that installs it, empty if it is there.
    """

    name: str
    needed_for: str
    found: str
    mend: str


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is looked up on PATH."""

    name: str
    package: str
    needed_for: str
    version_flag: str = "--version"


PROGRAMS = (
    Program("cc", "gcc libc6-dev", "run --on host, virtual devices"),
    Program("arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi", "build"),
    Program("qemu-system-arm", "qemu-system-arm", "run and profile on an emulated board"),
    Program("mosquitto", "mosquitto", "fleet, update, federate", "-h"),
)

# Distributions by the extra that brings them.
PACKAGES = {
    "": ("numpy", "paho-mqtt", "cbor2", "typer", "rich"),
    "runtime": ("ai-edge-litert",),
    "server": ("rdflib", "pyoxigraph", "pyshacl", "cryptography"),
    "train": ("tensorflow", "keras", "scikit-learn"),
}
NEEDED_FOR = {
    "": "everything",
    "runtime": "evaluation by LiteRT",
    "server": "registry, fleet, signatures",
    "train": "train, quantize",
}
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def doctor(
    as_json: bool = typer.Option(False, "--json", help="Print the findings as JSON."),
) -> None:
    """Say what this machine has and lacks.

    Exits 1 if something is missing.

    Example: edgekit doctor
    """
    findings = examine()
    missing = [finding for finding in findings if not finding.found]
    if as_json:
        import json

        rows = [asdict(finding) for finding in findings]
        print(json.dumps({"ok": not missing, "findings": rows}, indent=2))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark = "ok     " if finding.found else "missing"
            text = finding.found or f"{finding.mend}   (for: {finding.needed_for})"
            print(f"{mark}  {finding.name:<{width}}  {text}")
        if missing:
            print(f"{len(missing)} of {len(findings)} missing")
    if missing:
        raise typer.Exit(1)


def examine() -> list[Finding]:
    """Look for everything that edgekit can use."""
    import platform
    import sys

    found = platform.python_version() if sys.version_info >= (3, 11) else ""
    findings = [Finding("python >= 3.11", "everything", found, "apt-get install python3.11")]
    findings += [_program(program) for program in PROGRAMS]
    findings += [_newlib(), _monocypher()]
    for extra, names in PACKAGES.items():
        findings += [_package(name, extra) for name in names]
    return findings


def _program(program: Program) -> Finding:
    import os
    import shutil

    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    path = shutil.which(program.name, path=folders)
    found = _first_line(path, program.version_flag) if path is not None else ""
    return Finding(
        program.name,
        program.needed_for,
        found,
        "" if found else f"apt-get install {program.package}",
    )


def _first_line(path: str, flag: str) -> str:
    import subprocess

    try:
        result = subprocess.run(
            [path, flag],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (result.stdout or result.stderr).strip().splitlines()
    return lines[0].strip() if lines else path


def _newlib() -> Finding:
    import os
    import shutil
    import subprocess

    compiler = shutil.which("arm-none-eabi-gcc")
    found = ""
    if compiler is not None:
        result = subprocess.run(
            [compiler, "-print-file-name=nano.specs"], capture_output=True, text=True, check=False
        )
        path = result.stdout.strip()
        found = path if os.path.isabs(path) else ""
    mend = "" if found else "apt-get install libnewlib-arm-none-eabi"
    return Finding("newlib (nano.specs)", "build", found, mend)


def _monocypher() -> Finding:
    from edgekit import share
    from edgekit.errors import ToolError

    try:
        found = str(share.third_party())
    except ToolError:
        found = ""
    return Finding("Monocypher", "build", found, "" if found else "python tools/third_party.py")


def _package(name: str, extra: str) -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(name)
    except PackageNotFoundError:
        found = ""
    target = f"edgekit[{extra}]" if extra else "edgekit"
    return Finding(name, NEEDED_FOR[extra], found, "" if found else f"pip install '{target}'")
