"""What EmbBERT is compared with: a plain BERT, a convolution over embeddings, a lexical model.

The lexical model knows no order beyond pairs of neighbours.

Sources: EmbBERT (arXiv 2502.10001), models_config.py, for the first two; DatologyAI, Luxical, for
the idea of the third: counts of n-grams, a small network of rectified layers, no attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.models.embbert import EmbBertConfig

HASH_FIRST, HASH_SECOND = 8191, 127
"""A pair (a, b) of token ids has row (8191 a + 127 b) mod pairs: below 2^31 for ids below 2^17."""


def _check_sizes(config: Any) -> None:
    for name in config.__slots__:
        value = getattr(config, name)
        if isinstance(value, float):
            if not 0 <= value < 1:
                raise ValueError(f"{name} is {value}, must be from 0 to below 1")
        elif value < 1:
            raise ValueError(f"{name} is {value}, must be at least 1")


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Sizes of a plain BERT; the defaults are the one that fits 2 MB in the EmbBERT paper.

    Attributes:
        vocab: Number of token ids.
        length: Most tokens of an input.
        hidden: Width of a token.
        expansion: Inner width of the feed-forward layer over `hidden`.
        heads: Attention heads.
        layers: Number of encoder layers.
        dropout: Of embedding, attention weights and both branches, while training.
        classes: Values that the head answers.
    """

    vocab: int = 2048
    length: int = 256
    hidden: int = 80
    expansion: int = 2
    heads: int = 2
    layers: int = 2
    dropout: float = 0.1
    classes: int = 2

    def __post_init__(self) -> None:
        _check_sizes(self)
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} does not divide into {self.heads} heads")


def build_bert(config: BertConfig, *, seed: int) -> Any:
    """Build the Keras model: ids [N, L] -> logits; layers "tokens", "pooled", "head".

    Source: J. Devlin et al., BERT (arXiv 1810.04805), section 3; normalization after each branch.
    """
    import keras
    from keras import layers

    from edgekit.models import baseline_layers as base
    from edgekit.models import text_layers as text

    seeds = text.Seeds(seed)
    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = text.TokenMask(name="mask")(ids)
    x = base.PlainEmbedder(config, seeds, name="embed")([ids, mask])
    x = layers.LayerNormalization(epsilon=1e-6, name="embed.norm")(x)
    x = text.Dropout(config.dropout, seed=seeds.next(), name="embed.dropout")(x)
    for i in range(config.layers):
        x = base.EncoderLayer(config, seeds, name=f"layer{i}")([x, mask])
    x = text.LastTokens(norm=False, name="tokens")([x, mask])
    x = text.Pool("cls", name="pooled")([x, mask])
    head = layers.Dense(config.classes, kernel_initializer=seeds.normal(0.02), name="head")
    return keras.Model(ids, head(x), name="bert")


@dataclass(frozen=True, slots=True)
class EmbedConvConfig:
    """Sizes of an embedder with one convolution.

    Attributes:
        vocab: Number of token ids.
        length: Most tokens of an input.
        hidden: Width of a token.
        reduced: Width of the rows of the tables.
        kernel: Tokens that the convolution sees.
        head_dropout: Of what the head reads, while training.
        classes: Values that the head answers.
    """

    vocab: int = 8192
    length: int = 256
    hidden: int = 320
    reduced: int = 32
    kernel: int = 16
    head_dropout: float = 0.1
    classes: int = 2

    def __post_init__(self) -> None:
        _check_sizes(self)


def build_embed_conv(config: EmbedConvConfig, *, seed: int) -> Any:
    """Build the Keras model: ids [N, L] -> logits; the root of the mean square is pooled."""
    import keras
    from keras import layers

    from edgekit.models import baseline_layers as base
    from edgekit.models import text_layers as text

    seeds = text.Seeds(seed)
    sizes = EmbBertConfig(
        vocab=config.vocab, length=config.length, hidden=config.hidden, reduced=config.reduced
    )
    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = text.TokenMask(name="mask")(ids)
    x = text.NanoEmbedder(sizes, seeds, name="embed")([ids, mask])
    x = base.TokenConv(config.kernel, seeds, name="conv")([x, mask])
    x = text.LastTokens(norm=False, name="tokens")([x, mask])
    x = base.RootMeanSquare(name="pooled")([x, mask])
    x = text.Dropout(config.head_dropout, seed=seeds.next(), name="head.dropout")(x)
    head = layers.Dense(config.classes, kernel_initializer=seeds.normal(0.02), name="head")
    return keras.Model(ids, head(x), name="embed_conv")


@dataclass(frozen=True, slots=True)
class LexicalConfig:
    """Sizes of a lexical model.

    Attributes:
        vocab: Number of token ids.
        length: Most tokens of an input.
        pairs: Rows of the table of neighbours, chosen by a hash of the two ids.
        reduced: Width of the rows of both tables.
        hidden: Width of the two rectified layers.
        word_dropout: Share of tokens that are left out, while training.
        head_dropout: Of what the head reads, while training.
        classes: Values that the head answers.
    """

    vocab: int = 8192
    length: int = 256
    pairs: int = 8192
    reduced: int = 20
    hidden: int = 64
    word_dropout: float = 0.1
    head_dropout: float = 0.2
    classes: int = 2

    def __post_init__(self) -> None:
        _check_sizes(self)
        if self.vocab > 1 << 17:
            raise ValueError(f"vocab is {self.vocab}, the hash of pairs takes at most {1 << 17}")


def build_lexical(config: LexicalConfig, *, seed: int) -> Any:
    """Build the Keras model: ids [N, L] -> logits.

    Rows of tokens and of pairs of neighbours are averaged over the sentence, then two rectified
    layers follow. "tokens" has the two rows of every position side by side.
    """
    import keras
    from keras import layers

    from edgekit.models import baseline_layers as base
    from edgekit.models import text_layers as text

    seeds = text.Seeds(seed)
    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = text.TokenMask(name="mask")(ids)
    x = base.LexicalTables(config, seeds, name="embed")([ids, mask])
    x = text.LastTokens(norm=False, name="tokens")([x, mask])
    x = text.Pool("mean", name="mean")([x, mask])
    for part, width in (("hidden", 2 * config.reduced), ("pooled", config.hidden)):
        x = layers.Dense(
            config.hidden,
            activation="relu",
            kernel_initializer=seeds.fan_in(width),
            name=part,
        )(x)
    x = text.Dropout(config.head_dropout, seed=seeds.next(), name="head.dropout")(x)
    head = layers.Dense(config.classes, kernel_initializer=seeds.normal(0.02), name="head")
    return keras.Model(ids, head(x), name="lexical")
