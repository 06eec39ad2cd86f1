"""The frame of the command line: which commands exist, and how errors become exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from edgekit import __version__
from edgekit.errors import EdgekitError


@dataclass(frozen=True, slots=True)
class Command:
    """One entry of the command list; its module is imported when it is called, not before.

    Attributes:
        name: What the user types.
        module: Module below `edgekit.cli`.
        attribute: A function (one command) or a `typer.Typer` (a command with sub-commands).
        help: One line for `edgekit --help`.
    """

    name: str
    module: str
    attribute: str
    help: str


COMMANDS: tuple[Command, ...] = (
    Command("doctor", "doctor", "doctor", "Say what this machine has and lacks."),
    Command("new", "new", "new", "Write a project that runs at once."),
    Command("data", "data", "data_app", "Say what is in a file of data."),
    Command("train", "train", "train", "Train the model of a project; resumes where it stopped."),
    Command("evaluate", "evaluate", "evaluate", "Measure the accuracy of an int8 model."),
    Command("quantize", "quantize", "quantize", "Convert the trained model to int8."),
    Command("check", "check", "check", "Say whether a model fits a board, and why not."),
    Command("export", "export", "export", "Compile a model into a model image or a C library."),
    Command("build", "build", "build", "Build the firmware of a board."),
    Command("run", "run", "run", "Run a model on the host or on a board."),
    Command("profile", "profile", "profile", "Count the instructions of a model, layer by layer."),
    Command("registry", "registry", "registry_app", "Ask what models, boards and devices are."),
    Command("fleet", "fleet", "fleet_app", "Start a fleet, add devices, see their state."),
    Command("update", "update", "update_app", "Check, sign and publish models."),
    Command("rollout", "rollout", "rollout_app", "Bring a release to the fleet in waves."),
    Command("federate", "federate", "federate_app", "Learn together without moving samples."),
    Command("agent", "agent", "agent", "Run this machine as a device of a fleet."),
    Command("demo", "demo", "demo", "Run the whole loop on this machine."),
)


class LazyGroup(TyperGroup):
    """A command group that knows the names and lines of COMMANDS without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [command.name for command in COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        for command in COMMANDS:
            if command.name == cmd_name:
                return load_command(command)
        return None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.help) for command in COMMANDS])


def load_command(command: Command) -> Any:
    """Import a command and return it in the form that the command-line parser runs."""
    target = getattr(importlib.import_module(f"edgekit.cli.{command.module}"), command.attribute)
    if isinstance(target, typer.Typer):
        loaded = typer.main.get_command(target)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(command.name)(target)
        loaded = typer.main.get_command(single)
    loaded.name = command.name
    _use_plain_help(loaded)
    return loaded


def _use_plain_help(command: Any) -> None:
    # Text without boxes and colours reads the same in a pipe, and needs no import of rich.
    command.rich_markup_mode = None
    command.params = [
        param
        for param in command.params
        if getattr(param, "name", "") not in ("install_completion", "show_completion")
    ]
    for child in getattr(command, "commands", {}).values():
        _use_plain_help(child)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        print(f"edgekit {__version__}")
        raise typer.Exit


@app.callback()
def edgekit(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """From training to a managed fleet of tiny devices.

    Example: edgekit check model.tflite --board mps2_an386
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return _quiet_pipe()
    return code


def _run(arguments: list[str] | None) -> int:
    try:
        typer.main.get_command(app)(args=arguments, prog_name="edgekit")
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except KeyboardInterrupt:
        return 130
    except EdgekitError as exc:
        return _fail(str(exc))
    except OSError as exc:
        if exc.errno == errno.EPIPE:
            return _quiet_pipe()
        subject = f"{exc.filename}: " if exc.filename is not None else ""
        return _fail(f"{subject}{exc.strerror or exc}")
    return 0


def _fail(message: str) -> int:
    line = "; ".join(part.strip() for part in message.splitlines() if part.strip())
    print(f"error: {line}", file=sys.stderr)
    return 1


def _quiet_pipe() -> int:
    """Let nothing more go to a reader that went away, also not when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
