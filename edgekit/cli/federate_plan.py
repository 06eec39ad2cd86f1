"""What `edgekit federate run` makes of its options, the project's file and the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.federated.rounds import RunPlan
    from edgekit.fleet.releases import Release
    from edgekit.journal import Journal


def project_config(project: Path) -> Config:
    """Return the project's file, or what it says when there is none."""
    from edgekit.config import FILE_NAME, Config, load_config

    return load_config(project) if (project / FILE_NAME).is_file() else Config(root=project)


def make_plan(config: Config, *, chosen: dict[str, Any], **given: Any) -> RunPlan:
    """Make a plan of what was given and of the project's file.

    Args:
        chosen: Settings; None: as in the file.

    Raises:
        RefusedError: If it makes no sense.
    """
    import secrets
    from dataclasses import replace

    from edgekit.errors import RefusedError
    from edgekit.federated.rounds import RunPlan
    from edgekit.federated.settings import Settings

    wanted = {name: value for name, value in chosen.items() if value is not None}
    section = replace(config.federated, **wanted)
    known = {
        "strategy": section.strategy,
        "rounds": section.rounds,
        "epochs": section.epochs,
        "rate": config.learn.rate,
        "deadline_s": section.deadline_s,
        "min_updates": min(section.min_devices, len(given["devices"])),
    }
    try:
        settings = Settings.of_section(section)
        if (settings.cohort or settings.noise) and not settings.seed:
            settings = replace(settings, seed=secrets.randbits(62) + 1)
        told = {name: value for name, value in given.items() if value is not None}
        return RunPlan(**{**known, **told}, settings=settings)
    except ValueError as exc:
        raise RefusedError(str(exc)) from exc


def find_release(journal: Journal, image: str) -> Release:
    """Return a release by the beginning of its image id, whatever its device class.

    Args:
        image: Empty for the newest release.

    Raises:
        RefusedError: If there is none, or more than one image.
    """
    from edgekit.errors import RefusedError
    from edgekit.fleet.releases import releases

    known = {release.image_id: release for release in releases(journal)}
    if not known:
        raise RefusedError("there is no release yet; 'edgekit update publish' makes one")
    if not image:
        return list(known.values())[-1]
    found = [release for name, release in known.items() if name.startswith(image.lower())]
    if len(found) != 1:
        some = ", ".join(
            f"{release.image_id[:12]} ({release.manifest.name} {release.manifest.version})"
            for release in (found or list(known.values()))[-3:]
        )
        fits = f"fits {len(found)} releases" if found else "is no release"
        raise RefusedError(f"image id '{image}' {fits}, there are {some}")
    return found[0]


def labelled(image: bytes, path: Path) -> bytes:
    """Return the labelled features of an acceptance set, as a run keeps them.

    Raises:
        FormatError: If the file is no acceptance set of this model.
        RefusedError: If the image has no head.
    """
    import numpy as np

    from edgekit.cli.update import read_acceptance
    from edgekit.errors import FormatError
    from edgekit.federated.accuracy import Labelled
    from edgekit.runtime import Runner

    samples = read_acceptance(path, 0.0)
    runner = Runner(image)
    try:
        inputs = runner.prepare(samples.raw)
        if inputs.dtype != np.int8:
            raise FormatError(f"{path}: the head of a model that reads text cannot be measured")
        features = runner.features(inputs.astype(np.int8, copy=False))
    except ValueError as exc:
        raise FormatError(f"{path}: is not for this model: {exc}") from exc
    head = runner.image.head
    assert head is not None  # `features` has asked
    if int(samples.labels.min()) < 0 or int(samples.labels.max()) >= head.classes:
        raise FormatError(
            f"{path}: labels are {samples.labels.min()} .. {samples.labels.max()},"
            f" the head has {head.classes} classes"
        )
    labels = samples.labels.astype(np.int64)
    return Labelled(features, labels, head.scale, head.zero_point).encode()
