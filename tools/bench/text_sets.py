"""The text sets of the bench: files, figures to reach, and the recipe of each.

Recipes were chosen on validation parts of the training rows, nothing on a test part.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.data.text import TextSource
from edgekit.train.text_jobs import TextJob
from edgekit.train.text_projects import digest_files
from tools.bench.text_teacher import write_teacher

_ROOT = Path(__file__).resolve().parents[2]
SEEDS = (1, 2, 3)
SHARE = 0.05
"""Of the training rows, for the validation part: watched, and nothing is chosen by it."""
SPLIT_SEED = 1


@dataclass(frozen=True, slots=True)
class TextSet:
    """One set.

    Attributes:
        target: Least good accuracy of the int8 model, in per cent; `stretch` a better one.
        lexical: Accuracy of logistic regression on TF-IDF of words and pairs, same split.
        paper: Of the EmbBERT paper, pretrained and on its own training rows; None: not there.
        recipe: Fields of the job that differ from those of `RECIPE`; `sizes` from those of `SIZES`.
        train: File of the training rows, `test` of those that count.
        teacher: What the TF-IDF teacher reads: "words", "all" (characters too), "": no teacher.
    """

    target: float
    stretch: float
    lexical: float
    paper: float | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    train: str = "train"
    test: str = "test"
    teacher: str = ""


SIZES: dict[str, Any] = {
    "length": 64,
    "hidden": 128,
    "reduced": 32,
    "layers": 1,
    "kernel": 5,
    "attention": False,
}
RECIPE: dict[str, Any] = {"epochs": 6, "batch": 64, "rate": 3e-3}

FLAT = {"layers": 0}
WIDE = {"layers": 0, "reduced": 64}
"""No block and wider rows: best for many classes of short questions, and cheapest."""
LONG = {"layers": 0, "length": 128, "reduced": 40}
LONGEST = {"layers": 0, "length": 512}
TAUGHT = {"teacher_weight": 0.7, "temperature": 1.0}
REVIEWS = {"epochs": 5, "word_dropout": 0.2, **TAUGHT}

SETS: dict[str, TextSet] = {
    "snips": TextSet(97.5, 98.0, 98.0, 97.7, {"epochs": 5}),
    "sms_spam": TextSet(98.5, 99.0, 98.4, None, {"epochs": 8}, FLAT),
    "emotion": TextSet(88.5, 89.5, 86.7, 89.6, {"epochs": 5}),
    "sst2": TextSet(79.0, 81.0, 83.3, 79.3, {"epochs": 2}, train="train_phrases", test="dev"),
    "limit": TextSet(79.0, 81.0, 78.0, 76.4, {"epochs": 4, **TAUGHT}, teacher="all"),
    "clinc150": TextSet(86.0, 88.0, 91.0, None, {"epochs": 8}, WIDE),
    "ag_news": TextSet(87.0, 88.0, 86.1, 90.5, {"epochs": 5, **TAUGHT}, LONG, teacher="all"),
    "imdb_small": TextSet(84.0, 86.0, 87.5, 84.1, REVIEWS, LONGEST, teacher="words"),
    "banking77": TextSet(85.0, 87.0, 89.1, None, {"epochs": 10}, WIDE),
}

COMPARED = ("banking77",)
"""Sets on which other models are trained too, with one seed and the recipe of the set."""
OTHERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "paper": ("embbert", {"preset": "embbert", "length": 64}, {"rate": 1e-3}),
    "bert": ("bert", {"vocab": 2048, "length": 64}, {"rate": 1e-3}),
    "embed_conv": ("embed_conv", {"length": 64}, {}),
    "lexical": ("lexical", {"length": 64}, {}),
}
"""Family, sizes, and what differs in the recipe, of each model that is compared.

"paper" is EmbBERT with the blocks of its authors: attention, causal convolution, no residual, the
first token pooled. "bert" and "embed_conv" are the paper's baselines of 2 MB.
"""


def data_folder() -> Path | None:
    """Return the folder of real data: that of `EDGEKIT_DATA`, else `../shared/data`, if there."""
    given = os.environ.get("EDGEKIT_DATA", "")
    folder = Path(given) if given else _ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def text_job(name: str, seed: int, runs: Path, data: Path, *, other: str = "") -> TextJob:
    """Make the job of one set and seed.

    Args:
        name: Of the set.
        seed: Of weights, order, dropped words and units.
        runs: Folder in which the run gets its own.
        data: Folder of real data.
        other: A model of `OTHERS` instead of ours.
    """
    chosen = SETS[name]
    source = TextSource(
        train=data / name / f"{chosen.train}.csv.gz",
        test=data / name / f"{chosen.test}.csv.gz",
        share=SHARE,
        seed=SPLIT_SEED,
    )
    corpus = (data / "wikitext2_part" / "valid.txt.gz", *_books(data))
    files = {"train": source.train, "test": source.test}
    files |= {f"corpus{i}": path for i, path in enumerate(corpus)}
    teachers: tuple[Path, ...] = ()
    if chosen.teacher:
        teachers = (_teacher(name, source, runs.parent / "teachers"),)
        files["teacher0"] = teachers[0]
    settings = {**RECIPE, **chosen.recipe}
    family, sizes = "embbert", {**SIZES, **chosen.sizes}
    if other:
        family, sizes, changes = OTHERS[other]
        settings |= changes
    label = f"{name}-{other}" if other else name
    return TextJob(
        name=f"{label}, seed {seed}",
        run=runs / f"{label}-{seed}",
        source=source,
        family=family,
        sizes=dict(sizes),
        corpus=corpus,
        teachers=teachers,
        digests=digest_files(files),
        seed=seed,
        **settings,
    )


def _teacher(name: str, source: TextSource, folder: Path) -> Path:
    """Return the file of a set's teacher; writes it if it is not there."""
    path = folder / f"{name}.npz"
    if not path.is_file():
        write_teacher(source, path, characters=SETS[name].teacher == "all")
    return path


def _books(data: Path) -> list[Path]:
    return sorted((data / "storybooks").glob("*.txt.gz"))
