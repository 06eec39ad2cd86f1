"""The project file `edgekit.toml` as frozen dataclasses.

Every key has a default, so an empty file is a project. Unknown sections and keys, values of a wrong
type and values out of range are errors that name file, section and key.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.config_federated import FEDERATED_CHOICES, FEDERATED_RANGES, FederatedSection
from edgekit.config_text import (
    TEXT_CHOICES,
    TEXT_RANGES,
    PretrainSection,
    Range,
    TextDataSection,
    TextTrainSection,
)
from edgekit.errors import ConfigError

FILE_NAME = "edgekit.toml"
STATE_FOLDER = ".edgekit"
Size = bool | int | float | str
FAMILIES = {"image": "tinyvit", "text": "embbert"}
"""The model family of a task, if the file names none."""
KERNELS = {"image": "vision", "text": "text"}
"""The kernel set of a task, if the file names none."""


@dataclass(frozen=True, slots=True)
class ProjectSection:
    """`[project]`: what the model is called and under which terms it may be used.

    Attributes:
        task: "image" or "text"; decides which keys [data] and [train] have.
        version: Version of the model; a release has one.
        license: SPDX expression for the weights; what they were made from has its own.
    """

    name: str = "project"
    task: str = "image"
    version: str = "1"
    license: str = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class ModelSection:
    """`[model]`: the family and, in `[model.sizes]`, what differs from its defaults.

    Attributes:
        family: Empty for the default of the task.
        file: A foreign `.tflite` to use instead of training one; relative to the project.
    """

    family: str = ""
    sizes: dict[str, Size] = field(default_factory=dict)
    file: str = ""


@dataclass(frozen=True, slots=True)
class DataSection:
    """`[data]`: what the model learns from.

    Attributes:
        leave_out: Classes whose training samples are not used.
    """

    dataset: str = "digits"
    leave_out: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainSection:
    """`[train]`: see `edgekit.train.jobs.TrainJob`, which has the same fields."""

    seed: int = 1
    epochs: int = 25
    batch: int = 32
    rate: float = 4e-3
    warmup_epochs: int = 2
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    shift: int = 1
    noise: float = 0.04


@dataclass(frozen=True, slots=True)
class ExportSection:
    """`[export]`: how the `.tflite` becomes a model image.

    Attributes:
        calibration_samples: Samples of the train part that show the ranges of activations.
        rounding: "litert" or "tflm": whose requantization the image repeats bit for bit.
        fuse: Use operators of our own where they replace several standard ones.
        patches: Run the first layers in so many stripes if that makes the arena smaller.
        pairs: Run depthwise layers with the pointwise ones behind if that makes it smaller.
    """

    calibration_samples: int = 300
    rounding: str = "litert"
    fuse: bool = False
    patches: int = 1
    pairs: bool = False


@dataclass(frozen=True, slots=True)
class AcceptSection:
    """`[accept]`: what a model must reach to be published.

    Attributes:
        min_accuracy: Of the int8 model on the acceptance part, 0..1.
        max_worse: Test samples that int8 may lose against float.
    """

    min_accuracy: float = 0.9
    max_worse: int = 8


@dataclass(frozen=True, slots=True)
class BoardSection:
    """`[board]`: what the model is built for.

    Attributes:
        name: A file in `devices/boards/`.
        ops: Kernel set of the firmware; empty for that of the task.
    """

    name: str = "mps2_an386"
    ops: str = ""


@dataclass(frozen=True, slots=True)
class LearnSection:
    """`[learn]`: what a device may go on training.

    Attributes:
        head: Name of the trainable layer; empty for the last fully-connected one.
        enabled: Whether the image has a trainable head at all.
        rate: Step of the gradient descent on the device.
        max_classes: Classes that the head has room for; 0 for as many as it has.
        mode: widen: the layer goes on; replace: one of zeros learns in its place; append: one
            behind the output does.
        method: How the head learns by itself: ol, ol-v2, lwf or cwr.
        steps_per_minute: Most steps of a device that learns by itself; 0 for none.
        momentum: Of these steps; needs as much memory again.
        standardize: Whether the model of such a device reads (x - mean) / deviation of its own
            inputs, with each input's mean and deviation so far.
        warm_up: Samples after which these stay as they are; 0: never.
        window: Samples that they follow, by an exponential window; 0: all alike.
    """

    enabled: bool = True
    head: str = ""
    rate: float = 0.02
    max_classes: int = 0
    mode: str = "widen"
    method: str = "cwr"
    steps_per_minute: int = 0
    momentum: float = 0.0
    standardize: bool = False
    warm_up: int = 0
    window: int = 0


@dataclass(frozen=True, slots=True)
class FleetSection:
    """`[fleet]`: the devices that are managed together.

    Attributes:
        waves: Share of the fleet that has a release after each wave, ascending, the last 1.0.
        timeout_s: How long a wave waits for its devices.
    """

    name: str = "fleet"
    broker_host: str = "127.0.0.1"
    broker_port: int = 0
    gateway_port: int = 0
    waves: tuple[float, ...] = (0.2, 1.0)
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Config:
    """A whole project file.

    Attributes:
        root: The project's folder; paths in the file are relative to it.
        data: `[data]` of an image project; `text_data` is that of a text project. So are `train`
            and `text_train`.
    """

    root: Path = Path()
    project: ProjectSection = field(default_factory=ProjectSection)
    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    train: TrainSection = field(default_factory=TrainSection)
    export: ExportSection = field(default_factory=ExportSection)
    accept: AcceptSection = field(default_factory=AcceptSection)
    board: BoardSection = field(default_factory=BoardSection)
    learn: LearnSection = field(default_factory=LearnSection)
    fleet: FleetSection = field(default_factory=FleetSection)
    federated: FederatedSection = field(default_factory=FederatedSection)
    text_data: TextDataSection = field(default_factory=TextDataSection)
    text_train: TextTrainSection = field(default_factory=TextTrainSection)
    pretrain: PretrainSection = field(default_factory=PretrainSection)

    @property
    def family(self) -> str:
        """The model family."""
        return self.model.family or FAMILIES[self.project.task]

    @property
    def kernels(self) -> str:
        """The kernel set of the firmware."""
        return self.board.ops or KERNELS[self.project.task]

    @property
    def state(self) -> Path:
        """Folder of everything that edgekit itself writes."""
        return self.root / STATE_FOLDER


TEXT_SECTIONS = {"data": "text_data", "train": "text_train"}
"""What the sections of a text project fill instead of the field of their name."""
RANGES: dict[tuple[str, str], Range] = {
    ("train", "seed"): (0, 2**31 - 1),
    ("train", "epochs"): (1, 100_000),
    ("train", "batch"): (1, 65_536),
    ("train", "rate"): (1e-9, 10.0),
    ("train", "warmup_epochs"): (0, 100_000),
    ("train", "weight_decay"): (0.0, 1.0),
    ("train", "label_smoothing"): (0.0, 0.9),
    ("train", "clip_norm"): (1e-6, 1e6),
    ("train", "shift"): (0, 64),
    ("train", "noise"): (0.0, 1.0),
    ("export", "calibration_samples"): (1, 100_000),
    ("export", "patches"): (1, 16),
    ("accept", "min_accuracy"): (0.0, 1.0),
    ("accept", "max_worse"): (0, 10**9),
    ("learn", "rate"): (1e-9, 10.0),
    ("learn", "max_classes"): (0, 256),
    ("fleet", "broker_port"): (0, 65_535),
    ("fleet", "gateway_port"): (0, 65_535),
    ("fleet", "timeout_s"): (0.001, 1e7),
    ("learn", "steps_per_minute"): (0, 60_000),
    ("learn", "momentum"): (0.0, 0.99),
    ("learn", "warm_up"): (0, 2**31 - 1),
    ("learn", "window"): (0, 2**31 - 1),
    **FEDERATED_RANGES,
    **TEXT_RANGES,
}
CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("project", "task"): tuple(FAMILIES),
    ("export", "rounding"): ("litert", "tflm"),
    ("learn", "mode"): ("widen", "replace", "append"),
    ("learn", "method"): ("ol", "ol-v2", "lwf", "cwr"),
    **FEDERATED_CHOICES,
    **TEXT_CHOICES,
}


def load_config(path: Path, *, task: str | None = None) -> Config:
    """Read a project file.

    Args:
        path: The file, or the folder that has it.
        task: Overrides the file's.

    Raises:
        ConfigError: If it cannot be read or says what it must not.
    """
    if path.is_dir():
        path = path / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(
            f"{path}: {exc.strerror}; a project begins with this file and"
            ' two lines in it: [project] and name = "..."'
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not UTF-8 text") from exc
    return parse_config(text, root=path.parent, where=str(path), task=task)


def parse_config(
    text: str, *, root: Path, where: str = FILE_NAME, task: str | None = None
) -> Config:
    """Turn the text of a project file into a Config.

    Args:
        text: TOML.
        root: The project's folder.
        where: What messages call the file.
        task: Overrides the file's.

    Raises:
        ConfigError: If it is not TOML or says what it must not.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{where}: is not TOML: {exc}") from exc
    project = tables.get("project", {})
    if task is not None and isinstance(project, dict):
        tables["project"] = {**project, "task": task}
    fields = _fields(tables)
    sections = {}
    for name, table in tables.items():
        if name not in fields:
            raise ConfigError(f"{where}: unknown section [{name}]{_suggest(name, fields)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: '{name}' is {table!r}, must be a section [{name}]")
        sections[fields[name]] = _section(name, fields[name], table, where)
    config = Config(root=root, **sections)
    waves = config.fleet.waves
    if not waves or waves[-1] != 1.0 or any(a >= b for a, b in itertools.pairwise((0.0, *waves))):
        raise ConfigError(
            f"{where}: 'waves' in [fleet] is {list(waves)}, must rise from above 0 to 1.0"
        )
    return config


def _fields(tables: dict[str, Any]) -> dict[str, str]:
    """Tell which field of a Config each section of a file of its task fills."""
    project = tables.get("project")
    text = isinstance(project, dict) and project.get("task") == "text"
    hidden = {"root", "text_data", "text_train"} | (set() if text else {"pretrain"})
    names = [f.name for f in dataclasses.fields(Config) if f.name not in hidden]
    return {name: TEXT_SECTIONS.get(name, name) if text else name for name in names}


def _section(name: str, attribute: str, table: dict[str, Any], where: str) -> Any:
    kind = typing.get_type_hints(Config)[attribute]
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in hints:
            hint = _suggest(key, hints) or _other_task(name, attribute, key)
            raise ConfigError(f"{where}: unknown key '{key}' in [{name}]{hint}")
        place = f"{where}: '{key}' in [{name}]"
        values[key] = _value(value, hints[key], place)
        low, high = RANGES.get((attribute, key), (None, None))
        if low is not None and high is not None and not low <= values[key] <= high:
            raise ConfigError(f"{place} is {value!r}, must be {low:g} to {high:g}")
        choices = CHOICES.get((attribute, key))
        if choices is not None and value not in choices:
            raise ConfigError(f"{place} is {value!r}, must be one of: {', '.join(choices)}")
    return kind(**values)


def _other_task(name: str, attribute: str, key: str) -> str:
    """Say so if the key is one of another task's section of that name."""
    other = name if attribute != name else TEXT_SECTIONS.get(name, name)
    known = typing.get_type_hints(typing.get_type_hints(Config)[other])
    task = "text" if other != name else "image"
    return f"; it belongs to task = '{task}' in [project]" if key in known else ""


def _value(value: Any, hint: Any, place: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{place} is {value!r}, must be a list")
        item = typing.get_args(hint)[0]
        return tuple(_value(entry, item, f"{place}, entry {i}") for i, entry in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{place} is {value!r}, must be a table")
        item = typing.get_args(hint)[1]
        return {key: _value(entry, item, f"{place}, '{key}'") for key, entry in value.items()}
    if origin is types.UnionType:
        if type(value) not in typing.get_args(hint):
            raise ConfigError(f"{place} is {value!r}, must be a number, a text, true or false")
        return value
    # A bool is an int to Python; to a reader of the file it is not.
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{place} is {value!r}, must be {WORDS[hint]}")
    return value


WORDS: types.MappingProxyType[type, str] = types.MappingProxyType(
    {str: "a text", int: "an integer", float: "a number", bool: "true or false"}
)


def _suggest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
