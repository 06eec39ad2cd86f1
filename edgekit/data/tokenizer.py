"""Byte-pair tokenizer: trained and run by the library `tokenizers`, whose ids the C code equals.

Normalisation: control characters away, spaces around CJK characters, accents stripped, lower case.
Then words and runs of punctuation apart, then merges. A text becomes `[CLS]` and its tokens; a pair
of texts is joined by " [SEP] ". Bytes that are no UTF-8 are read as Python's errors="replace" does.

Source: RiccardoBravin/tiny-LLM, lib/preprocessing.py. Twin: firmware/features/ek_tokenize.c
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.files import write_atomic
from edgekit.errors import ConfigError, FormatError, StoreError, ToolError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[MASK]", "[SEP]")
"""Their ids are their places."""
PAD, UNKNOWN, CLASS, MASK, SEPARATOR = range(5)
MAX_VOCAB = 32_768
MAX_TOKEN_CHARS = 32
MIN_COUNT = 2
"""A merge that the texts hold only once teaches nothing."""

_ALPHABET = 128
_ALPHABET_SHARE = 8
_NORMALIZER = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": True,
    "lowercase": True,
}
_MODEL = {
    "type": "BPE",
    "dropout": None,
    "unk_token": SPECIAL_TOKENS[UNKNOWN],
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}

Int32Array = NDArray[np.int32]


def library() -> Any:
    """Return the package `tokenizers`.

    Raises:
        ToolError: If it is not installed.
    """
    try:
        import tokenizers
    except ImportError as exc:
        raise ToolError("a tokenizer needs a package: pip install 'edgekit[train]'") from exc
    return tokenizers


def pair(first: str, second: str) -> str:
    """Return two texts as one, as models of pairs read them."""
    return f"{first} {SPECIAL_TOKENS[SEPARATOR]} {second}"


def text_of(text: str | bytes) -> str:
    """Return valid Unicode: what is no UTF-8, or half a surrogate pair, becomes U+FFFD."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return data.decode("utf-8", "replace")


class Tokenizer:
    """A trained tokenizer. Made by `train_tokenizer` or `Tokenizer.load`.

    Attributes:
        vocab: Number of ids, special tokens included.
        merges: Pairs of tokens in the order of learning; the last ids are theirs.
    """

    def __init__(self, document: str) -> None:
        """Take the JSON of `tokenizers`.

        Raises:
            FormatError: If it is none, or one whose ids the C tokenizer would not equal.
        """
        self._state, self.merges = _prove(document)
        self._engine: Engine = library().Tokenizer.from_str(json.dumps(self._state))
        self.vocab: int = len(self._state["model"]["vocab"])

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read a tokenizer from its JSON file.

        Raises:
            StoreError: If the file cannot be read.
            FormatError: As the constructor, with the path.
        """
        try:
            document = path.read_text("utf-8")
        except OSError as exc:
            raise StoreError(f"{path}: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            raise FormatError(f"{path}: is no UTF-8") from exc
        try:
            return cls(document)
        except FormatError as exc:
            raise FormatError(f"{path}: {exc}") from exc

    def save(self, path: Path) -> None:
        """Write the JSON of `tokenizers`; equal tokenizers give equal bytes."""
        write_atomic(path, self.to_json().encode())

    def to_json(self) -> str:
        """Return the document that `load` reads."""
        return json.dumps(self._state, ensure_ascii=False, separators=(",", ":")) + "\n"

    def tokens(self) -> list[str]:
        """Return the token of every id."""
        vocab: dict[str, int] = self._state["model"]["vocab"]
        return sorted(vocab, key=vocab.__getitem__)

    def encode(self, text: str | bytes, length: int) -> Int32Array:
        """Return [CLS] and the ids of a text: int32 [L], cut or filled up with 0 to `length`."""
        row: Int32Array = self.encode_batch([text], length)[0]
        return row

    def encode_batch(self, texts: Sequence[str | bytes], length: int) -> Int32Array:
        """Return the ids of N texts: int32 [N, L], each row as by `encode`."""
        if length < 1:
            raise ValueError(f"length {length} is less than 1")
        out = np.zeros((len(texts), length), np.int32)
        found = self._engine.encode_batch([text_of(text) for text in texts])
        for row, encoding in zip(out, found, strict=True):
            ids = encoding.ids[:length]
            row[: len(ids)] = ids
        return out

    def count(self, text: str | bytes) -> int:
        """Return how many ids a text has, [CLS] included."""
        return len(self._engine.encode(text_of(text)).ids)


def train_tokenizer(
    texts: Iterable[str | bytes],
    vocab: int,
    *,
    min_count: int = MIN_COUNT,
    alphabet: int | None = None,
    exact: bool = True,
) -> Tokenizer:
    """Learn a vocabulary of `vocab` ids; equal texts in equal order give equal tokenizers.

    Args:
        texts: Any number; read once.
        vocab: 64 to 32,768; 8192 for EmbBERT, 2048 for Nano and Tiny.
        min_count: How often the texts must hold a pair that becomes a token.
        alphabet: At most so many single characters, the most frequent ones, others are [UNK]; by
            default one eighth of the vocabulary, and not less than 128.
        exact: False takes fewer tokens where the texts support no more.

    Raises:
        ConfigError: If there is no text, or the texts do not support so many tokens.
    """
    if not 64 <= vocab <= MAX_VOCAB:
        raise ConfigError(f"vocabulary of {vocab} tokens is outside 64 .. {MAX_VOCAB}")
    lib = library()
    default = max(_ALPHABET, vocab // _ALPHABET_SHARE)
    engine = lib.Tokenizer(lib.models.BPE(unk_token=SPECIAL_TOKENS[UNKNOWN]))
    engine.normalizer = lib.normalizers.BertNormalizer(strip_accents=True)
    engine.pre_tokenizer = lib.pre_tokenizers.Whitespace()
    trainer = lib.trainers.BpeTrainer(
        vocab_size=vocab,
        min_frequency=min_count,
        special_tokens=list(SPECIAL_TOKENS),
        limit_alphabet=min(alphabet or default, vocab - len(SPECIAL_TOKENS)),
        max_token_length=MAX_TOKEN_CHARS,
        show_progress=False,
    )
    engine.train_from_iterator(_valid(texts), trainer)
    found: int = engine.get_vocab_size()
    if found <= len(SPECIAL_TOKENS):
        raise ConfigError("there is no text to learn a vocabulary from")
    if exact and found < vocab:
        raise ConfigError(
            f"vocabulary of {vocab} tokens asked for, the texts support {found}:"
            " ask for no more, or give more text"
        )
    engine.post_processor = lib.processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", CLASS)]
    )
    return Tokenizer(engine.to_str())


def _valid(texts: Iterable[str | bytes]) -> Iterator[str]:
    """Leave out combining marks: most are stripped, and those that are not may change places."""
    for text in map(text_of, texts):
        yield text if text.isascii() else text.translate(_marks())


@cache
def _marks() -> dict[int, None]:
    return {code: None for code in range(0x300, 0x110000) if unicodedata.combining(chr(code))}


def _prove(document: str) -> tuple[dict[str, Any], tuple[tuple[str, str], ...]]:
    """Return the document, read, and its merges, if it is what the C tokenizer does."""
    try:
        state = json.loads(document)
        normalizer = dict(state["normalizer"])
        model = dict(state["model"])
        vocab: dict[str, int] = dict(model.pop("vocab"))
        merges = tuple((str(a), str(b)) for a, b in map(_sides, model.pop("merges")))
        added = [
            (t["content"], t["id"], t["normalized"], t["special"]) for t in state["added_tokens"]
        ]
        splitter = state["pre_tokenizer"]["type"]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise FormatError(f"is no byte-pair tokenizer of 'tokenizers': {exc}") from exc
    if normalizer.get("strip_accents") is None:
        normalizer["strip_accents"] = normalizer.get("lowercase")
    if normalizer != _NORMALIZER:
        raise FormatError(f"normalizer is {normalizer}, expected {_NORMALIZER}")
    if splitter != "Whitespace":
        raise FormatError(f"pre-tokenizer is {splitter}, expected Whitespace")
    if {key: model.get(key, value) for key, value in _MODEL.items()} != _MODEL:
        raise FormatError(f"model is {model}, expected {_MODEL}")
    if added != [(token, number, False, True) for number, token in enumerate(SPECIAL_TOKENS)]:
        raise FormatError(f"special tokens are {added}, expected {list(SPECIAL_TOKENS)}")
    if sorted(vocab.values()) != list(range(len(vocab))) or len(vocab) > MAX_VOCAB:
        raise FormatError(f"ids of {len(vocab)} tokens are not 0 .. {len(vocab) - 1}")
    _prove_order(vocab, merges)
    state["pre_tokenizer"] = {"type": "Whitespace"}
    state["truncation"] = state["padding"] = None
    state["post_processor"] = json.loads(_TEMPLATE)
    return state, merges


def _sides(merge: Any) -> list[str]:
    """Return both tokens of a merge; older files hold them in one string."""
    sides = merge.split(" ") if isinstance(merge, str) else list(merge)
    if len(sides) != 2:
        raise ValueError(f"merge {merge!r}")
    return sides


def _prove_order(vocab: dict[str, int], merges: tuple[tuple[str, str], ...]) -> None:
    """Special tokens, then characters, then what merges make, in their order."""
    first = len(vocab) - len(merges)
    for number, (left, right) in enumerate(merges):
        joined = left + right
        if vocab.get(joined) != first + number or not (
            vocab.get(left, first) < first + number and vocab.get(right, first) < first + number
        ):
            raise FormatError(f"merge {number} makes token {joined!r}, which is not next in order")
        if len(joined) > MAX_TOKEN_CHARS:
            raise FormatError(f"token {joined!r} has {len(joined)} characters, at most 32")
    for token, number in vocab.items():
        if len(SPECIAL_TOKENS) <= number < first and len(token) != 1:
            raise FormatError(f"token {token!r} with id {number} is no single character")


_TEMPLATE = """{"type": "TemplateProcessing", "single": [
{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
"pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
"special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}}"""
