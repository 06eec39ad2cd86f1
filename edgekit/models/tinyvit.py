"""TinyViT: a small hierarchical vision transformer with a convolutional stem.

Stem convolutions, MBConv blocks, a convolutional down-sampling, then blocks of attention with a
learned additive bias, a local depthwise convolution and a two-layer MLP. Differences from the
paper, for int8 without any float operator: ReLU for GELU, and batch normalization (which folds into
the convolution before it) for layer normalization, also after the projections, as LeViT does.

Source: K. Wu et al., TinyViT, ECCV 2022 (arXiv 2207.10666), section 3.3 and the authors' code;
B. Graham et al., LeViT, ICCV 2021 (arXiv 2104.01136), section 4 (bias, batch normalization).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TinyVitConfig:
    """Sizes of one TinyViT.

    Attributes:
        side: Input images are [side, side, channels].
        stem_width: Channels after the stem and through the MBConv blocks.
        mbconv_blocks: Number of MBConv blocks.
        mbconv_expansion: Inner width of an MBConv block over its outer width.
        width: Channels after down-sampling by two, that is of every token.
        blocks: Number of transformer blocks.
        heads: Attention heads; each has width / heads channels.
        mlp_ratio: Inner width of the MLP over `width`.
        features: Values that the last layer, the trainable head, reads.
        classes: Number of classes.
    """

    side: int = 8
    channels: int = 1
    stem_width: int = 12
    mbconv_blocks: int = 1
    mbconv_expansion: int = 2
    width: int = 32
    blocks: int = 1
    heads: int = 2
    mlp_ratio: int = 2
    features: int = 64
    classes: int = 10

    def __post_init__(self) -> None:
        if self.side < 2 or self.side % 2:
            raise ValueError(f"side is {self.side}, must be even")
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if self.blocks < 1 or self.mbconv_blocks < 1 or self.classes < 2:
            raise ValueError("a TinyViT has at least one block of each kind and two classes")


def build_tinyvit(config: TinyVitConfig, *, seed: int) -> Any:
    """Build the Keras model [N, side, side, channels] -> class probabilities [N, classes].

    The layer 'head' gives the logits, the layer 'probabilities' the softmax of them.
    """
    import keras
    from keras import layers

    from edgekit.models.layers import AttentionBias, Stack

    stack = Stack(seed=seed)
    image = keras.Input((config.side, config.side, config.channels), name="image")
    x = stack.conv(image, config.stem_width, size=3, activation=True, name="stem")
    for i in range(config.mbconv_blocks):
        x = _mbconv(stack, x, config, name=f"mbconv{i}")
    x = stack.conv(x, config.width, activation=True, name="down.expand")
    x = stack.depthwise(x, stride=2, activation=True, name="down.depthwise")
    x = stack.conv(x, config.width, name="down.project")
    for i in range(config.blocks):
        x = _attention(stack, x, config, AttentionBias, name=f"block{i}.attention")
        x = stack.depthwise(x, name=f"block{i}.local")
        x = _mlp(stack, x, config, name=f"block{i}.mlp")
    x = stack.conv(x, config.features, activation=True, name="features")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(config.classes, kernel_initializer=stack.initializer(0.1), name="head")(x)
    return keras.Model(image, layers.Softmax(name="probabilities")(x), name="tinyvit")


def _mbconv(stack: Any, x: Any, config: TinyVitConfig, *, name: str) -> Any:
    width = int(x.shape[-1])
    y = stack.conv(x, width * config.mbconv_expansion, activation=True, name=f"{name}.expand")
    y = stack.depthwise(y, activation=True, name=f"{name}.depthwise")
    y = stack.conv(y, width, name=f"{name}.project")
    return stack.relu(stack.add(x, y, name=f"{name}.add"), name=f"{name}.out")


def _attention(stack: Any, x: Any, config: TinyVitConfig, bias: Any, *, name: str) -> Any:
    from keras import layers, ops

    side, width = int(x.shape[1]), config.width
    tokens, heads, depth = side * side, config.heads, width // config.heads

    def split(part: str, scale: float = 1.0) -> Any:
        # The paper's 1/sqrt(depth) is the first value of the normalization's gamma: no operator.
        y = stack.conv(x, width, gamma=scale, name=f"{name}.{part}")
        y = layers.Reshape((tokens, heads, depth), name=f"{name}.{part}.heads")(y)
        return layers.Permute((2, 1, 3), name=f"{name}.{part}.order")(y)

    query, key, value = split("query", depth**-0.5), split("key"), split("value")
    score = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
    score = bias(heads=heads, side=side, name=f"{name}.bias")(score)
    mixed = ops.matmul(ops.softmax(score, axis=-1), value)
    mixed = layers.Permute((2, 1, 3), name=f"{name}.order")(mixed)
    mixed = layers.Reshape((side, side, width), name=f"{name}.merge")(mixed)
    y = stack.conv(mixed, width, gamma=stack.residual_gamma, name=f"{name}.project")
    return stack.add(x, y, name=f"{name}.add")


def _mlp(stack: Any, x: Any, config: TinyVitConfig, *, name: str) -> Any:
    y = stack.conv(x, config.width * config.mlp_ratio, activation=True, name=f"{name}.expand")
    y = stack.conv(y, config.width, gamma=stack.residual_gamma, name=f"{name}.project")
    return stack.add(x, y, name=f"{name}.add")
