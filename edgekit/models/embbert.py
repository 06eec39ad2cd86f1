"""EmbBERT: a bidirectional language model of some hundred kilobytes for classifying sentences.

Factorised tables of tokens and positions, then blocks of two branches over one normalized input:
attention whose keys and values are the input itself, and a depthwise convolution. The difference of
the two, each with a learned weight, is the block's output. `PRESETS` have the paper's model:
`residual = "none"`, `conv = "causal"`, `pooling = "cls"`, no last norm. The defaults are what
learns better at the same memory (docs/text-results.md): no attention and one short convolution that
sees both sides, a wider token table instead, blocks that add to their input, mean and maximum.

Source: R. Bravin et al., EmbBERT (arXiv 2502.10001) and the authors' code, RiccardoBravin/tiny-LLM,
lib/Models/EmbBERT.py, lib/embedders.py, lib/attentions.py, models_config.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RESIDUALS = ("none", "identity")
CONVS = ("causal", "symmetric")
POOLINGS = ("cls", "mean", "max", "mean_max")
PAD, UNK, CLS, MASK, SEP = range(5)
"""Ids of the special tokens, in the order of the tokenizer."""


@dataclass(frozen=True, slots=True)
class EmbBertConfig:
    """Sizes and choices of one EmbBERT.

    Attributes:
        vocab: Number of token ids; 0 is padding, 4 separates two texts.
        length: Most tokens of an input, [CLS] included.
        hidden: Width of a token, `d`.
        reduced: Width of the rows of the two tables, `r`.
        expansion: Outputs of the convolution per input channel, `a`.
        kernel: Tokens that the convolution sees, `k`.
        layers: Number of blocks.
        attention: Whether the blocks have the attention branch.
        residual: "none" (the paper) or "identity": the block adds to its input.
        conv: "causal" (the paper) or "symmetric".
        pooling: "cls" (the paper), "mean", "max" or "mean_max" over the tokens.
        final_norm: Normalize the tokens before pooling.
        dropout: Of the embedded tokens and of each branch, while training.
        attention_dropout: Of the attention weights, while training.
        head_dropout: Of what the head reads, while training.
        classes: Values that the head answers; 1 for a regression.
    """

    vocab: int = 8192
    length: int = 64
    hidden: int = 128
    reduced: int = 32
    expansion: int = 1
    kernel: int = 5
    layers: int = 1
    attention: bool = False
    residual: str = "identity"
    conv: str = "symmetric"
    pooling: str = "mean_max"
    final_norm: bool = True
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.2
    classes: int = 2

    def __post_init__(self) -> None:
        for name in ("length", "hidden", "reduced", "expansion", "kernel", "classes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.vocab <= SEP:
            raise ValueError(f"vocab is {self.vocab}, has no room for the special tokens")
        choices = {"residual": RESIDUALS, "conv": CONVS, "pooling": POOLINGS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not {' or '.join(known)}")
        for name in ("dropout", "attention_dropout", "head_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be from 0 to below 1")

    @property
    def pooled(self) -> int:
        """Values that the head reads."""
        return self.hidden * (2 if self.pooling == "mean_max" else 1)


def _paper(
    vocab: int = 8192,
    length: int = 256,
    hidden: int = 128,
    reduced: int = 16,
    expansion: int = 1,
    kernel: int = 32,
    layers: int = 4,
) -> EmbBertConfig:
    return EmbBertConfig(
        vocab=vocab,
        length=length,
        hidden=hidden,
        reduced=reduced,
        expansion=expansion,
        kernel=kernel,
        layers=layers,
        attention=True,
        residual="none",
        conv="causal",
        pooling="cls",
        final_norm=False,
        dropout=0.0,
        head_dropout=0.0,
    )


PRESETS: dict[str, EmbBertConfig] = {
    "nano": _paper(vocab=2048, hidden=64, kernel=8, layers=2),
    "tiny": _paper(vocab=2048, kernel=16, layers=2),
    "embbert": _paper(),
    "med": _paper(length=512, hidden=256, expansion=2, layers=6),
    "big": _paper(
        vocab=16384, length=1024, hidden=512, reduced=32, expansion=2, kernel=64, layers=6
    ),
}
"""The paper's configurations. Source: models_config.py at f7ef015d."""


def count_parameters(config: EmbBertConfig) -> int:
    """Return the number of trained values without head.

    Source: reproduces the 357,248 of the authors' code for the preset "embbert".
    """
    d, r, k = config.hidden, config.reduced, config.kernel
    wide = config.expansion * d
    embedder = (config.vocab + config.length + 2 * d) * r + 3 * d
    attention = 2 * (d * d + d) + 2 * d if config.attention else 0
    block = d + attention + 2 * d + wide * (k + 1) + wide * d + d
    return embedder + config.layers * block + d * config.final_norm


def build_embbert(config: EmbBertConfig, *, seed: int) -> Any:
    """Build the Keras model: token ids [N, L] with L <= length, 0 for padding -> logits.

    The layer "tokens" gives the last hidden states [N, L, d], zero at padding, the layer "pooled"
    what the head reads, the layer "head" the logits [N, classes], which are the only output.
    """
    import keras
    from keras import layers

    from edgekit.models import text_layers as text

    seeds = text.Seeds(seed)
    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = text.TokenMask(name="mask")(ids)
    x = text.NanoEmbedder(config, seeds, name="embed")([ids, mask])
    x = text.Dropout(config.dropout, seed=seeds.next(), name="embed.dropout")(x)
    for i in range(config.layers):
        x = text.Block(config, seeds, name=f"block{i}")([x, mask])
    x = text.LastTokens(norm=config.final_norm, name="tokens")([x, mask])
    x = text.Pool(config.pooling, name="pooled")([x, mask])
    x = text.Dropout(config.head_dropout, seed=seeds.next(), name="head.dropout")(x)
    head = layers.Dense(config.classes, kernel_initializer=seeds.normal(0.02), name="head")
    return keras.Model(ids, head(x), name="embbert")


def build_pretraining(model: Any, *, seed: int) -> Any:
    """Build a model with the same body and the heads of pretraining; the body is shared.

    Args:
        model: From `build_embbert`, or another with layers "tokens" and "embed".
        seed: Of the heads' first values.

    Returns:
        Keras model: ids [N, L] -> [logits of each masked token [N, L, vocab], logits of "is not
        the next sentence" [N, 2]]. The two heads are thrown away afterwards.
    """
    import keras
    from keras import layers

    from edgekit.models import text_layers as text

    seeds = text.Seeds(seed)
    vocab = int(model.get_layer("embed").vocab)
    states = model.get_layer("tokens").output
    tokens = layers.Dense(vocab, kernel_initializer=seeds.normal(0.02), name="mlm")(states)
    first = text.Pool("cls", name="mlm.cls")([states, model.get_layer("mask").output])
    following = layers.Dense(2, kernel_initializer=seeds.normal(0.02), name="nsp")(first)
    return keras.Model(model.input, [tokens, following], name="pretraining")
