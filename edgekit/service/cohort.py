"""Which devices a federated run is about: named, of a board, or chosen by a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.errors import RefusedError
from edgekit.fleet.store import FleetStore
from edgekit.link.messages import Reported

_NAMED = 5  # devices in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an operator asks for; what is empty does not restrict.

    Attributes:
        devices: By name.
        boards: Of these device classes.
        question: See `edgekit.registry.choose.choose_devices`.
        folder: Where the name of the question's file begins.
    """

    devices: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()
    question: str = ""
    folder: Path = Path()

    @property
    def is_open(self) -> bool:
        """Whether nothing was asked for."""
        return not (self.devices or self.boards or self.question)

    def text(self) -> str:
        """Return in words how the devices are chosen, empty if by name or by default."""
        parts = [f"board {name}" for name in self.boards]
        return "; ".join([*parts, self.question.strip()]) if self.question else "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Cohort:
    """The devices of a run.

    Attributes:
        devices: Those that take part, in order.
        claimed: All of the fleet that could.
        left_out: Those that were chosen but run another image, or none, as the unclaimed.
        skills: What each claimed device says that it can do.
    """

    devices: tuple[str, ...]
    claimed: frozenset[str]
    left_out: tuple[str, ...] = ()
    skills: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def find_cohort(root: Path, wanted: Wanted, image_id: str, *, head: tuple[int, int]) -> Cohort:
    """Return the devices that run an image and were asked for.

    Args:
        root: The folder `.edgekit` of the project.
        image_id: In hex.
        head: Classes and features of its head.

    Raises:
        RefusedError: If there are none, one is unknown, or one that was named cannot take part.
        FormatError: If the question cannot be read.
    """
    boards, active, skills = _fleet(root)
    runs = {name for name, image in active.items() if image == image_id}
    cohort = _chosen(root, wanted, image_id, head, boards)
    for name in cohort:
        if name not in boards or (wanted.devices and name not in active):
            raise RefusedError(
                f"device '{name}' is not a claimed device of the fleet;"
                " 'edgekit fleet ls' lists them"
            )
    out = tuple(name for name in cohort if name not in runs)
    if wanted.devices and out:
        raise RefusedError(_runs_another(out[0], active[out[0]], image_id))
    found = tuple(name for name in cohort if name in runs)
    if not found:
        raise RefusedError(_nobody(wanted, cohort, image_id))
    return Cohort(found, frozenset(active), () if wanted.is_open else out, skills)


def _chosen(
    root: Path, wanted: Wanted, image_id: str, head: tuple[int, int], boards: Mapping[str, str]
) -> Sequence[str]:
    if wanted.devices:
        chosen: Sequence[str] = wanted.devices
    elif wanted.question:
        chosen = _asked(root, wanted, image_id, head)
    else:
        chosen = sorted(name for name, board in boards.items() if board)
    if not wanted.boards:
        return chosen
    known = sorted(set(boards.values()) - {""})
    for board in wanted.boards:
        if board not in known:
            raise RefusedError(
                f"no claimed device is a '{board}', the fleet has {', '.join(known) or 'none'}"
            )
    return [name for name in chosen if boards.get(name, "") in wanted.boards]


def _asked(root: Path, wanted: Wanted, image_id: str, head: tuple[int, int]) -> Sequence[str]:
    from edgekit.registry.choose import choose_devices
    from edgekit.registry.sync import open_current

    known = {"model": image_id, "classes": str(head[0]), "features": str(head[1])}
    with open_current(root) as store:
        return choose_devices(store, wanted.question, known=known, folder=wanted.folder)


def _fleet(
    root: Path,
) -> tuple[dict[str, str], dict[str, str], dict[str, tuple[str, ...]]]:
    """Return the board of each device, empty if unclaimed; what the claimed run, and can."""
    boards: dict[str, str] = {}
    active: dict[str, str] = {}
    skills: dict[str, tuple[str, ...]] = {}
    with FleetStore.open(root) as store:
        for record in store.devices():
            is_claimed = record.claim is not None and not record.revoked
            boards[record.device] = record.board if is_claimed else ""
            if is_claimed:
                said = None if record.reported is None else Reported.decode(record.reported)
                image = None if said is None else said.active_image
                active[record.device] = "" if image is None else image.hex()
                skills[record.device] = () if said is None else said.skills
    return boards, active, skills


def _runs_another(device: str, image: str, wanted: str) -> str:
    found = f"runs image {image[:12]}" if image else "runs no image yet"
    return (
        f"device '{device}' {found}, the run trains {wanted[:12]};"
        " 'edgekit rollout start' brings it there"
    )


def _nobody(wanted: Wanted, chosen: Sequence[str], image_id: str) -> str:
    if wanted.question and not chosen:
        return f"query for devices gives none: {wanted.text():.200}"
    if not chosen:
        return "the fleet has no claimed device; 'edgekit fleet add' enrols one"
    return (
        f"none of {len(chosen)} devices runs image {image_id[:12]}:"
        f" {names(chosen)}; 'edgekit rollout start' brings it there"
    )


def names(devices: Sequence[str], most: int = _NAMED) -> str:
    """Name the first devices and count the others.

    >>> names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    shown = ", ".join(devices[:most])
    return shown if len(devices) <= most else f"{shown} and {len(devices) - most} more"
