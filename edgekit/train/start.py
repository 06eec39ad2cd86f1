"""What a run of a text model begins with: its tokenizer, and weights that another run learned.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.text import TextDataset
from edgekit.data.tokenizer import Tokenizer, train_tokenizer
from edgekit.errors import ConfigError
from edgekit.models import make_config
from edgekit.models.saved import load_model, unpack_arrays
from edgekit.train.grams import DEVIATION, GramTable
from edgekit.train.text_jobs import TextJob
from edgekit.train.vectors import GRAM_DEVIATION, encode_all, read_corpus, token_vectors

OWN = ("classes", "length", "dropout", "attention_dropout", "head_dropout")
"""Sizes in which a run may differ from the one that it starts with."""


def prepare_tokenizer(job: TextJob, data: TextDataset) -> Tokenizer:
    """Take the run folder's tokenizer, else that of the job's start or file, else train one.

    Raises:
        ConfigError: If the texts do not support the vocabulary that the project asks for, or the
            given tokenizer has another.
    """
    path = job.run / "tokenizer.json"
    wanted = job.sizes.get("vocab")
    given = job.tokenizer or (job.start / "tokenizer.json" if job.start is not None else None)
    if path.is_file():
        tokenizer = Tokenizer.load(path)
    elif given is not None:
        tokenizer = Tokenizer.load(given)
    else:
        most = make_config(job.family, {**job.sizes}).vocab
        tokenizer = train_tokenizer(data.train.texts, wanted or most, exact=wanted is not None)
    if wanted is not None and tokenizer.vocab != wanted:
        raise ConfigError(
            f"{given or path}: has {tokenizer.vocab} tokens, [model.sizes] says vocab = {wanted}"
        )
    if not path.is_file():
        tokenizer.save(path)
    return tokenizer


def prepare_table(
    job: TextJob, data: TextDataset, model: Any, tokenizer: Tokenizer
) -> GramTable | None:
    """Give the token table its first values, and return the n-grams that are trained beside it.

    A model without such a table keeps what it has, and so does one that starts with a run.
    """
    table = next((v for v in model.weights if v.path.endswith("tokens_table")), None)
    if table is None:
        return None
    width, fresh = int(table.shape[1]), job.start is None
    if job.vectors and fresh:
        texts = encode_all(tokenizer, data.train.texts) + read_corpus(job.corpus, tokenizer)
        rows = token_vectors(texts, vocab=tokenizer.vocab, width=width, seed=job.seed)
        known = np.any(rows != 0, axis=1, keepdims=True)
        table.assign(np.where(known, rows, np.array(table)))
    if not job.grams:
        return None
    return GramTable(
        tokenizer.tokens(),
        rows=job.grams,
        width=width,
        seed=job.seed if fresh else None,
        deviation=GRAM_DEVIATION if job.vectors else DEVIATION,
    )


def copy_body(start: Path, model: Any, *, family: str, config: Any) -> None:
    """Give a model the weights of a run, but for those of the head.

    Of a table of positions of another length, the rows that both have are copied.

    Raises:
        ConfigError: If the run's model has another family or other sizes; names them.
    """
    path = start / "model.npz"
    meta, _ = unpack_arrays(path)
    if meta.get("family") != family:
        raise ConfigError(f"{path}: is a {meta.get('family')!r}, the project's model a {family!r}")
    sizes = make_config(family, meta.get("sizes", {}))
    for size in dataclasses.fields(config):
        here, there = getattr(config, size.name), getattr(sizes, size.name)
        if size.name not in OWN and here != there:
            raise ConfigError(
                f"{path}: has {size.name} = {there!r}, the project {here!r}; a start has the sizes"
                " of the model that starts with it"
            )
    source = {variable.path: np.asarray(variable) for variable in load_model(path).weights}
    for variable in model.weights:
        value = source.get(variable.path)
        if value is None or "head" in variable.path.split("/"):
            continue
        if variable.path.endswith("positions_table") and value.shape != tuple(variable.shape):
            rows = min(len(value), variable.shape[0])
            table = np.array(variable)
            table[:rows] = value[:rows]
            value = table
        if value.shape == tuple(variable.shape):
            variable.assign(value)
