"""The sections of a project file whose keys depend on the task: those of a text project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextDataSection:
    """`[data]` of a text project: the files and their columns; paths are relative to the project.

    Attributes:
        train: CSV, TSV or JSON lines (each also .gz) with a column of texts and one of labels.
        validation: What training watches; empty: `share` of the training rows.
        test: What results are reported on; empty: `share` of the training rows.
        text: Column of the text.
        pair: Column of a second text, for pairs; empty for single texts.
        label: Column of the labels.
        labels: "single" (a class), "multi" (several, `;` between them) or "number" (a value).
        share: Of the training rows, for each part without a file.
        split_seed: Decides which rows are split off.
        tokenizer: A tokenizer's JSON; empty: one is trained on the texts of the training part.
        license: SPDX expression of the data.
    """

    train: str = "train.csv"
    validation: str = ""
    test: str = ""
    text: str = "text"
    pair: str = ""
    label: str = "label"
    labels: str = "single"
    share: float = 0.1
    split_seed: int = 1
    tokenizer: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """How a text model is trained, whatever it learns from.

    Attributes:
        seed: Decides first weights, order of samples, dropped words and units.
        epochs: Passes over the training part.
        rate: Peak learning rate; `schedule`, `warmup` and `decay` as `rate_at` has them.
        clip_norm: Largest norm of all gradients together.
        word_dropout: Share of the tokens that become [UNK], anew in every epoch.
        balance: Give every class the same weight in the loss.
        grams: Rows of a table of hashed character n-grams that is added to the token table while
            training and folded into it for ever; 0 for none.
        vectors: Begin the token table with what stands near each other in the training texts and
            the corpus; not with a start.
        windows: Read a part from anywhere of a text that is longer than the model, anew in every
            epoch; the model itself reads the beginning.
        metric: Decides which epoch is best; "auto" for accuracy, macro_f1 or spearman.
        patience: Stop after so many epochs without a better one and keep the best; 0: train all
            epochs and keep the last.
        threshold: Probability from which a class of several counts as chosen.
        teacher_weight: Share of the loss that the teacher has, at `temperature`.
        hidden_weight: Weight of the distance to the teachers' pooled states.
        quantize_aware: Share of the steps, the last ones, that train with the rounding of the int8
            file; only for family embbert, without `patience`.
    """

    seed: int = 1
    epochs: int = 8
    batch: int = 64
    rate: float = 3e-3
    schedule: str = "cosine"
    warmup: float = 0.06
    decay: float = 0.2
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    word_dropout: float = 0.1
    balance: bool = False
    grams: int = 20_000
    vectors: bool = True
    windows: bool = True
    metric: str = "auto"
    patience: int = 0
    threshold: float = 0.5
    teacher_weight: float = 0.7
    temperature: float = 1.0
    hidden_weight: float = 0.0
    quantize_aware: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTrainSection(TextRecipe):
    """`[train]` of a text project.

    Attributes:
        start: Weights to begin with: "pretrain" for what `edgekit train --task pretrain` made of
            this project, or a run folder; empty: random weights.
        corpus: Files of plain text, .gz too, from which `vectors` learns beside the training texts.
        teacher: Run folders, whose mean is taught, or one .npz file of logits; empty: no teacher.
    """

    start: str = ""
    corpus: tuple[str, ...] = ()
    teacher: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainRecipe:
    """How a language is learned, whatever the text.

    Attributes:
        steps: Batches in all.
        length: Tokens of a pair of sentences; more is cut.
        mask: Share of the tokens to be guessed.
        next_sentence: Rows are pairs of lines; also learn whether the second follows the first.
    """

    seed: int = 1
    steps: int = 4000
    batch: int = 64
    length: int = 64
    rate: float = 2e-3
    schedule: str = "wsd"
    warmup: float = 0.05
    decay: float = 0.2
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    mask: float = 0.15
    next_sentence: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainSection(PretrainRecipe):
    """`[pretrain]`: learning the language from plain text before the labels.

    Attributes:
        files: Plain text or patterns of files, one sentence or paragraph per line, .gz too;
            neighbours in a file are neighbours in the text, an empty line ends a document.
        own_text: Add the texts of the training part.
    """

    files: tuple[str, ...] = ()
    own_text: bool = True


Range = tuple[float, float]
TEXT_RANGES: dict[tuple[str, str], Range] = {
    ("text_data", "share"): (0.001, 0.9),
    ("text_data", "split_seed"): (0, 2**31 - 1),
    ("text_train", "seed"): (0, 2**31 - 1),
    ("text_train", "epochs"): (1, 100_000),
    ("text_train", "batch"): (1, 65_536),
    ("text_train", "rate"): (1e-9, 10.0),
    ("text_train", "warmup"): (0.0, 1.0),
    ("text_train", "decay"): (0.0, 1.0),
    ("text_train", "weight_decay"): (0.0, 1.0),
    ("text_train", "label_smoothing"): (0.0, 0.9),
    ("text_train", "clip_norm"): (1e-6, 1e6),
    ("text_train", "word_dropout"): (0.0, 0.9),
    ("text_train", "grams"): (0, 10**7),
    ("text_train", "patience"): (0, 100_000),
    ("text_train", "threshold"): (0.0, 1.0),
    ("text_train", "teacher_weight"): (0.0, 1.0),
    ("text_train", "temperature"): (0.01, 100.0),
    ("text_train", "hidden_weight"): (0.0, 1000.0),
    ("text_train", "quantize_aware"): (0.0, 1.0),
    ("pretrain", "seed"): (0, 2**31 - 1),
    ("pretrain", "steps"): (1, 10**9),
    ("pretrain", "batch"): (1, 65_536),
    ("pretrain", "length"): (8, 65_536),
    ("pretrain", "rate"): (1e-9, 10.0),
    ("pretrain", "warmup"): (0.0, 1.0),
    ("pretrain", "decay"): (0.0, 1.0),
    ("pretrain", "weight_decay"): (0.0, 1.0),
    ("pretrain", "clip_norm"): (1e-6, 1e6),
    ("pretrain", "mask"): (0.01, 0.9),
}
SCHEDULES = ("cosine", "constant", "wsd")
TEXT_CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("text_data", "labels"): ("single", "multi", "number"),
    ("text_train", "schedule"): SCHEDULES,
    ("text_train", "metric"): ("auto", "accuracy", "macro_f1", "mcc", "spearman"),
    ("pretrain", "schedule"): SCHEDULES,
}
