"""The C tokenizer gives the ids of the library `tokenizers`, whatever the text."""

from __future__ import annotations

import ctypes
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from text_cases import SENTENCES, corpus, strings

from edgekit.data import token_table
from edgekit.data.token_table import token_table as table_of
from edgekit.data.tokenizer import Tokenizer, train_tokenizer
from edgekit.runtime import host_library

pytestmark = [pytest.mark.cc, pytest.mark.train]

FULL = bool(os.environ.get("EDGEKIT_FULL"))
STRINGS = 30_000 if FULL else 1_400
LENGTH = 256
REAL_TEXTS = (
    "wikitext2_part/valid.txt.gz",
    "imdb_small/test.csv.gz",
    "snips/train.csv.gz",
    "sms_spam/train.csv.gz",
    "emotion/train.csv.gz",
    "clinc150/train.csv.gz",
    "banking77/train.csv.gz",
    "sst2/train_phrases.csv.gz",
    "storybooks/grimm.txt.gz",
    "storybooks/jungle_book.txt.gz",
)


class Twin:
    """A tokenizer of the library, and its table in C."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.table = table_of(tokenizer)
        self.encode_c = host_library().ek_tokenize
        self.encode_c.argtypes = (
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
            ctypes.c_uint32,
        )
        assert host_library().ek_tokens_prove(self.table, len(self.table)) == 0

    def encode(self, text: bytes, length: int) -> NDArray[np.int32]:
        out = np.zeros(length, np.int32)
        count = self.encode_c(self.table, text, len(text), out.ctypes.data, length)
        out[count:] = 0
        return out

    def check(self, texts: list[bytes], length: int = LENGTH) -> None:
        expected = self.tokenizer.encode_batch(texts, length)
        for text, row in zip(texts, expected, strict=True):
            found = self.encode(text, length)
            assert (found == row).all(), (text[:300], found.tolist(), row.tolist())


@pytest.fixture(scope="module", params=["English", "many scripts", "few characters"])
def twin(request: pytest.FixtureRequest) -> Twin:
    rng = np.random.default_rng(11)
    if request.param == "English":
        source = Path(__file__).with_name("test_tokenizer_twin.py").read_text().splitlines()
        lines = [*source, *SENTENCES[:3]] * 2
        return Twin(train_tokenizer(lines, 512))
    few = request.param == "few characters"
    texts = corpus(rng, 3000)
    return Twin(train_tokenizer(texts, 200 if few else 1100, alphabet=40 if few else 600))


def test_every_string_has_the_ids_of_the_library(twin: Twin) -> None:
    """Full: 90,000 strings over three vocabularies."""
    rng = np.random.default_rng(STRINGS)
    twin.check(strings(rng, twin.tokenizer, STRINGS))


@pytest.mark.parametrize("length", [1, 2, 7, 33])
def test_ids_stop_at_the_length(length: int, twin: Twin) -> None:
    texts = strings(np.random.default_rng(length), twin.tokenizer, 120)
    twin.check(texts, length)
    twin.check([text.encode() for text in SENTENCES], length)


def test_every_code_point_is_treated_as_by_the_library(twin: Twin) -> None:
    """Alone, and between letters; by default those that the library changes and their neighbours.

    Marks that change places are tried in the strings above.
    """
    changed = {code for code in token_table._changed() if not 0xE000 <= code < 0xF900}
    codes = {code + near for code in changed for near in (-1, 0, 1)} | set(range(0x3000))
    codes = set(range(0x110000)) if FULL else {code for code in codes if 0 <= code < 0xE0200}
    valid = sorted(codes - set(range(0xD800, 0xE000)))
    for start in range(0, len(valid), 60):
        text = " ".join(f"{chr(code)} e{chr(code)}e" for code in valid[start : start + 60])
        twin.check([text.encode()], 512)


def test_a_word_without_end_takes_bounded_time_and_is_exact(twin: Twin) -> None:
    """A word of 10 kB is cut where the library's merges end a token."""
    rng = np.random.default_rng(5)
    tokens = [token for token in twin.tokenizer.tokens()[5:] if token.isalpha()]
    words = ["a" * 10_000, "ab" * 5_000, "the" * 3_000, "".join(tokens)[:10_000]]
    words += ["".join(map(str, rng.choice(tokens, 4_000))) for _ in range(6)]
    words += ["".join(map(str, rng.choice([t for t in tokens if len(t) < 3], 6_000)))]
    twin.check([word.encode() for word in words], 4_096)


def test_a_text_of_a_megabyte_is_read_as_far_as_needed(twin: Twin) -> None:
    for unit in (b"light ", b"light", b"\xff", b" ", b"\xcc\x81"):
        twin.check([unit * (1_000_000 // len(unit))], 64)


@pytest.mark.data("data")
def test_real_texts_have_the_ids_of_the_library(data_dir: Path) -> None:
    """Full: every line of ten data sets, 150,000 of them."""
    lines = []
    for name in REAL_TEXTS:
        found = gzip.decompress((data_dir / name).read_bytes()).split(b"\n")
        lines += found if FULL else found[:: max(1, len(found) // 150)]
    learnt = train_tokenizer(lines[::4] if FULL else lines, 8192 if FULL else 2048)
    Twin(learnt).check(lines)


def test_the_table_is_small_and_the_same_every_time(twin: Twin) -> None:
    assert table_of(twin.tokenizer) == twin.table
    merges = len(twin.tokenizer.merges)
    assert len(twin.table) < 8_000 + 5 * merges + 8 * (twin.tokenizer.vocab - merges)


def test_a_damaged_table_is_refused(twin: Twin) -> None:
    """Words of header, merges and points are changed: refused, or read inside their bounds."""
    prove = host_library().ek_tokens_prove
    accepted = 0
    words = np.frombuffer(twin.table[: len(twin.table) // 4 * 4], "<u4")
    for place in range(0, len(words), 1 if FULL else 7):
        for value in (0, int(words[place]) ^ 0x8000_0000, int(words[place]) ^ 1, 0xFFFF_FFFF):
            changed = words.copy()
            changed[place] = value
            data = changed.tobytes() + twin.table[len(words) * 4 :]
            if prove(data, len(data)) == 0:
                accepted += 1
                twin.encode_c(data, b"light", 5, np.zeros(9, np.int32).ctypes.data, 9)
    assert accepted < len(range(0, len(words), 1 if FULL else 7)) * 4 // 2
    for size in (0, 23, 24, len(twin.table) - 1):
        assert prove(twin.table[:size], size) < 0
