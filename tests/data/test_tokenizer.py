from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.tokenizer import (
    SPECIAL_TOKENS,
    Tokenizer,
    pair,
    text_of,
    train_tokenizer,
)
from edgekit.errors import ConfigError, FormatError, StoreError

pytestmark = pytest.mark.train

ROOMS = ("kitchen", "bedroom", "hall", "garden", "cellar", "bathroom")
TEXTS = [
    f"Turn {way} the {thing} in the {room}, please!"
    for way in ("on", "off", "up")
    for thing in ("light", "heating", "radio", "café lamp")
    for room in ROOMS
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 80)


def test_ids_start_with_special_tokens_then_characters_then_merges(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.tokens()
    assert tokens[:5] == list(SPECIAL_TOKENS)
    first = tokenizer.vocab - len(tokenizer.merges)
    assert all(len(token) == 1 for token in tokens[5:first])
    assert tokens[first:] == [left + right for left, right in tokenizer.merges]


def test_a_text_begins_with_cls_and_is_cut_and_filled(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("Turn on the light", 12)
    assert ids.dtype == np.int32
    assert ids[0] == 2
    assert ids[-1] == 0
    assert (tokenizer.encode("Turn on the light", 3) == ids[:3]).all()
    assert tokenizer.encode("", 4).tolist() == [2, 0, 0, 0]
    assert tokenizer.count("Turn on the light") == np.count_nonzero(ids)


def test_accents_case_and_control_characters_do_not_matter(tokenizer: Tokenizer) -> None:
    plain, odd = tokenizer.encode_batch(["cafe lamp", "  CA\u0000F\u00c9\tl\u0301amp"], 16)
    assert (plain == odd).all()


def test_a_pair_holds_the_id_of_sep(tokenizer: Tokenizer) -> None:
    joined = tokenizer.encode(pair("light", "lamp"), 16)
    apart = [*tokenizer.encode("light", 16), 4, *tokenizer.encode("lamp", 16)[1:]]
    assert joined[joined > 0].tolist() == [i for i in apart if i > 0]


def test_bytes_that_are_no_utf8_are_read_as_replacements(tokenizer: Tokenizer) -> None:
    assert text_of(b"a\xffb\xe2(\xa1") == "a\ufffdb\ufffd(\ufffd"
    assert text_of("a\ud800") == "a\ufffd\ufffd\ufffd"
    odd, plain = tokenizer.encode_batch([b"li\xffght", "light"], 8)
    assert (odd == plain).all()


def test_training_twice_gives_equal_files(tokenizer: Tokenizer, tmp_path: Path) -> None:
    again = train_tokenizer(iter(TEXTS), 80)
    again.save(tmp_path / "tokenizer.json")
    assert (tmp_path / "tokenizer.json").read_text() == tokenizer.to_json()
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.to_json() == tokenizer.to_json()
    assert (loaded.encode_batch(TEXTS, 20) == tokenizer.encode_batch(TEXTS, 20)).all()


def test_a_vocabulary_beyond_the_texts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"2048 tokens asked for, the texts support \d+:"):
        train_tokenizer(TEXTS, 2048)
    with pytest.raises(ConfigError, match="no text"):
        train_tokenizer(["", "\x00"], 2048)
    with pytest.raises(ConfigError, match="outside 64"):
        train_tokenizer(TEXTS, 10)


def test_rare_characters_become_unknown() -> None:
    texts = [*TEXTS * 3, "ж"]
    few = train_tokenizer(texts, 70, alphabet=20)
    assert few.encode("ж", 2).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"normalizer": None}, "is no byte-pair tokenizer"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizer is"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "pre-tokenizer is ByteLevel"),
        ({"added_tokens": []}, "special tokens are"),
        ({"model": {"type": "WordPiece", "vocab": {}, "merges": []}}, "model is"),
    ],
)
def test_another_kind_of_tokenizer_is_refused(
    change: dict[str, object], text: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(json.loads(tokenizer.to_json()) | change))
    with pytest.raises(FormatError, match=text) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value)


def test_merges_out_of_order_are_refused(tokenizer: Tokenizer) -> None:
    document = json.loads(tokenizer.to_json())
    merges = document["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]
    with pytest.raises(FormatError, match="not next in order"):
        Tokenizer(json.dumps(document))


def test_a_file_that_is_missing_or_broken_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        Tokenizer.load(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff")
    with pytest.raises(FormatError, match=r"is no UTF-8"):
        Tokenizer.load(tmp_path / "x.json")
