"""`edgekit update`: signed releases of a project's models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

if TYPE_CHECKING:
    import zipfile

    import numpy as np

    from edgekit.config import Config
    from edgekit.export.compile import CompiledModel
    from edgekit.fleet.releases import Acceptance, Release

update_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Check, sign and publish models."
)

_PROJECT = typer.Option(Path("."), "--project", help="Folder of the project.")
_JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@update_app.command("publish")
def publish(
    image: Path = typer.Argument(
        ..., help="A model image (.ekm), or a .tflite to compile for the project."
    ),
    project: Path = _PROJECT,
    board: str | None = typer.Option(
        None, "--board", help="Device class; default [board] name of edgekit.toml."
    ),
    ops: str | None = typer.Option(
        None, "--ops", help="Kernel set of the firmware; default [board] ops, else of the task."
    ),
    accept: Path | None = typer.Option(
        None,
        "--accept",
        help="Acceptance set: .npz with raw uint8 [N, ...] and labels [N]; default [data].",
    ),
    min_accuracy: float | None = typer.Option(
        None, "--min-accuracy", min=0, max=1, help="Default [accept] min_accuracy."
    ),
    as_json: bool = _JSON,
) -> None:
    """Prove a model, measure it on the acceptance set, sign it and put it on offer.

    A model that is not good enough is refused with exit code 1, and the journal has the reason.

    Example: edgekit update publish build/digits.ekm --board mps2_an386
    """
    import time

    from edgekit.boards import load_board
    from edgekit.cli.model import compile_for_project, load_model
    from edgekit.config import FILE_NAME, Config, load_config
    from edgekit.fleet import releases
    from edgekit.fleet.manifests import release_key
    from edgekit.journal import Journal
    from edgekit.ops import kernel_set
    from edgekit.service.describe import register
    from edgekit.service.lineage import training_of

    has_file = (project / FILE_NAME).exists()
    config = load_config(project) if has_file or accept is None else Config(root=project)
    minimum = config.accept.min_accuracy if min_accuracy is None else min_accuracy
    if accept is not None:
        acceptance = read_acceptance(accept, minimum)
    else:
        acceptance = _acceptance_of(config, minimum)
    target = load_board(board or config.board.name)
    family = target.chip.kernel_family
    kernels = kernel_set(ops or config.kernels, family)
    if image.suffix == ".ekm":
        model = load_model(image)
    else:
        model = compile_for_project(image, config, family=family)
    with Journal.open(config.state / "journal.db") as journal:
        release = releases.publish(
            model.image,
            board=target,
            kernel_ops=kernels,
            journal=journal,
            key=release_key(config.state / "keys"),
            now_s=time.time(),
            acceptance=acceptance,
        )
        reached = None if release.accuracy is None else {"int8": release.accuracy}
        training = training_of(journal, config.state, lambda path: _is_source(path, model, config))
        register(journal, model, target, kernels, accuracy=reached, training=training)
    if as_json:
        print(json.dumps(_facts(release), indent=2))
        return
    manifest = release.manifest
    print(
        f"released '{manifest.name}' {manifest.version} for {manifest.device_class},"
        f" counter {manifest.counter}, accuracy {release.accuracy:.1%} of at least {minimum:.1%}"
    )
    print(f"image {release.image_id}")


@update_app.command("ls")
def ls(project: Path = _PROJECT, as_json: bool = _JSON) -> None:
    """List the releases of a project.

    Example: edgekit update ls
    """
    from edgekit.fleet.orders import open_journal
    from edgekit.fleet.releases import releases

    with open_journal(project / ".edgekit") as journal:
        found = list(releases(journal))
    if as_json:
        print(json.dumps([_facts(release) for release in found], indent=2))
        return
    print(f"{'class':<14} {'counter':>7}  {'model':<24} {'version':<8} {'accuracy':>8}  image")
    for release in found:
        manifest = release.manifest
        measured = "-" if release.accuracy is None else f"{release.accuracy:.1%}"
        print(
            f"{manifest.device_class:<14} {manifest.counter:>7}  {manifest.name:<24}"
            f" {manifest.version:<8} {measured:>8}  {release.image_id[:16]}"
        )


def _is_source(tflite: Path, model: CompiledModel, config: Config) -> bool:
    """Whether the project's compiler makes this image of this file."""
    from edgekit.cli.model import compile_for_project
    from edgekit.errors import EdgekitError
    from edgekit.formats.image_reader import read_image

    family = read_image(model.image).meta.kernel_family
    try:
        return compile_for_project(tflite, config, family=family).id == model.id
    except EdgekitError:
        return False


def _acceptance_of(config: Config, minimum: float) -> Acceptance:
    """Return what the project's data decides a release by.

    Raises:
        ConfigError: If its labels are not one class each.
    """
    from edgekit.errors import ConfigError
    from edgekit.fleet.releases import Acceptance

    if config.project.task != "text":
        from edgekit.data import load_dataset

        part = load_dataset(config.data.dataset).acceptance
        return Acceptance(part.raw, part.labels, minimum)
    from edgekit.data.text import load_text
    from edgekit.runtime.text import text_rows
    from edgekit.train.text_projects import text_source

    data = load_text(text_source(config), name=config.project.name)
    if data.labels != "single":
        raise ConfigError(
            f"texts of '{config.project.name}' have labels of kind '{data.labels}', a release is"
            " judged by one class each: give --accept"
        )
    return Acceptance(text_rows(data.validation.texts), data.validation.labels, minimum)


def read_acceptance(path: Path, minimum: float) -> Acceptance:
    """Read an acceptance set: an .npz with raw uint8 [N, ...] and labels [N].

    Raises:
        FormatError: If the file is something else.
    """
    import zipfile
    import zlib

    import numpy as np

    from edgekit.errors import FormatError
    from edgekit.fleet.releases import Acceptance

    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as members:
            raw, labels = (_read_array(members, name) for name in ("raw", "labels"))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
        raise FormatError(f"{path}: is not an .npz with 'raw' and 'labels': {exc}") from exc
    fits = raw.dtype == np.uint8 and np.issubdtype(labels.dtype, np.integer) and raw.ndim > 1
    if not fits or labels.shape != raw.shape[:1] or len(labels) == 0:
        raise FormatError(
            f"{path}: raw is {raw.dtype} {list(raw.shape)}, labels {labels.dtype}"
            f" {list(labels.shape)}, expected uint8 [N, ...] and integers [N]"
        )
    return Acceptance(raw, labels, minimum)


def _read_array(members: zipfile.ZipFile, name: str) -> np.ndarray[Any, Any]:
    from numpy.lib import format as npy

    with members.open(f"{name}.npy") as member:
        return cast("np.ndarray[Any, Any]", npy.read_array(member, allow_pickle=False))


def _facts(release: Release) -> dict[str, object]:
    manifest = release.manifest
    return {
        "image_id": release.image_id,
        "name": manifest.name,
        "version": manifest.version,
        "counter": manifest.counter,
        "device_class": manifest.device_class,
        "kernel_set_hash": manifest.kernel_set_hash.hex(),
        "image_bytes": manifest.image_bytes,
        "arena_bytes": manifest.arena_bytes,
        "expiry_s": manifest.expiry_s,
        "accuracy": release.accuracy,
    }
