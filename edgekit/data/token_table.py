"""The compact table of a tokenizer, as it travels in an image: merges, characters, Unicode.

What becomes of each code point is asked of the library `tokenizers` itself, so that its Unicode
version counts and no other. Bytes: firmware/runtime/CONTAINER.md, "Features".

Twin: firmware/features/ek_token_table.c
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np

from edgekit.data.tokenizer import UNKNOWN, Tokenizer, library
from edgekit.errors import UnsupportedError
from edgekit.formats.image import Features

HEADER = struct.Struct("<IIIIII")
"""Vocabulary, first id that a merge makes, left sides, points, words of strings, longest token."""
LEFT_BLOCK = 32
MAX_FIRST = 1 << 14
"""Ids of characters, and of special tokens, are below."""
CODE_POINTS = 0x110000
_SURROGATES = range(0xD800, 0xE000)
_HANGUL = range(0xAC00, 0xD7A4)
_CHUNK = 256


class Kind(IntEnum):
    """What a point says about the code points from it to the next."""

    NOTHING = 0
    SYMBOL = 1
    RUN = 2
    HANGUL = 3
    STRING = 4


class Class(IntEnum):
    """What a symbol may stand beside in one word; in its upper two bits, the id in the lower 14."""

    ALONE = 0
    WORD = 1
    OTHER = 2
    SPACE = 3


@dataclass(frozen=True, slots=True)
class Point:
    """A change in what becomes of code points: value as by `kind`."""

    code: int
    kind: Kind
    value: int


def symbol(token: int, kind: Class) -> int:
    """Return a symbol: 16 bits."""
    return kind << 14 | token


_UNKNOWN = symbol(UNKNOWN, Class.ALONE)
_SPACE = symbol(0, Class.SPACE)


def token_table(tokenizer: Tokenizer) -> bytes:
    """Return the table of a tokenizer; equal tokenizers give equal bytes.

    Raises:
        UnsupportedError: If the table cannot say what one of its characters does.
    """
    tokens = tokenizer.tokens()
    first = tokenizer.vocab - len(tokenizer.merges)
    if first > MAX_FIRST:
        raise UnsupportedError(f"tokenizer has {first} characters, at most {MAX_FIRST} fit")
    bits, counts, starts, made = _merges(tokenizer, tokens)
    points, strings = _points(tokens[:first])
    header = HEADER.pack(
        tokenizer.vocab,
        first,
        len(starts) - 1,
        len(points),
        len(strings),
        max(len(token) for token in tokens[5:]),
    )
    parts = [
        np.array(bits, "<u4"),
        np.array(made, "<u4"),
        np.array([point.code << 11 | point.kind for point in points], "<u4"),
        np.array([point.value for point in points], "<u2"),
        np.array(counts, "<u2"),
        np.array(starts, "<u2"),
        np.array(strings, "<u2"),
    ]
    return header + b"".join(part.tobytes() for part in parts)


def _merges(
    tokenizer: Tokenizer, tokens: list[str]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return which ids are left sides, how many before each block, their first merges, merges."""
    ids = {token: number for number, token in enumerate(tokens)}
    groups: dict[int, list[int]] = {}
    for first, second in tokenizer.merges:
        groups.setdefault(ids[first], []).append(ids[second] << 16 | ids[first + second])
    blocks = -(-len(tokens) // LEFT_BLOCK)
    bits, counts = [0] * blocks, [0] * blocks
    for left in groups:
        bits[left // LEFT_BLOCK] |= 1 << left % LEFT_BLOCK
    for block in range(1, blocks):
        counts[block] = counts[block - 1] + bits[block - 1].bit_count()
    starts, made = [0], []
    for left in sorted(groups):
        made += sorted(groups[left])
        starts.append(len(made))
    return bits, counts, starts, made


@cache
def _changed() -> dict[int, str]:
    """Return what the library makes of each code point that it does not leave alone."""
    normalize = library().normalizers.BertNormalizer(strip_accents=True).normalize_str
    changed: dict[int, str] = {}
    for start in range(0, CODE_POINTS, _CHUNK):
        if start in _SURROGATES:
            continue
        codes = range(start, start + _CHUNK)
        text = "".join(map(chr, codes))
        whole = normalize(text)
        if whole == "":
            changed.update(dict.fromkeys(codes, ""))
        elif whole != text:
            for code in codes:
                one = normalize(chr(code))
                if one != chr(code):
                    changed[code] = one
    return changed


def _points(characters: list[str]) -> tuple[list[Point], list[int]]:
    """Return what becomes of every code point, and the strings that some become."""
    known = {text: _symbol_of(text, number) for number, text in enumerate(characters) if number > 4}
    strings: list[int] = []
    places: dict[tuple[int, ...], int] = {}
    actions = np.full(CODE_POINTS, Kind.SYMBOL << 16 | _UNKNOWN, np.int32)
    changed = _changed()
    for code in {ord(" "), *changed, *map(ord, known)}:
        symbols = _symbols(changed.get(code, chr(code)), known)
        if not symbols:
            actions[code] = Kind.NOTHING << 16
        elif len(symbols) == 1:
            actions[code] = Kind.SYMBOL << 16 | symbols[0]
        elif code not in _HANGUL:
            if symbols not in places:
                places[symbols] = len(strings)
                strings += [len(symbols), *symbols]
            actions[code] = Kind.STRING << 16 | places[symbols]
    actions[_HANGUL.start : _HANGUL.stop] = Kind.HANGUL << 16
    actions[_SURROGATES.start : _SURROGATES.stop] = actions[_SURROGATES.start - 1]
    starts = np.flatnonzero(np.diff(actions, prepend=-1))
    points = [Point(int(at), Kind(actions[at] >> 16), int(actions[at]) & 0xFFFF) for at in starts]
    return _join_runs(points), strings


def _join_runs(points: list[Point]) -> list[Point]:
    """Put one point for neighbours whose ids are neighbours too."""
    joined: list[Point] = []
    ends = [*(point.code for point in points[1:]), CODE_POINTS]
    for point, end in zip(points, ends, strict=True):
        single = point.kind == Kind.SYMBOL and end == point.code + 1
        last = joined[-1] if joined else None
        if single and last is not None and last.kind == Kind.RUN:
            single = point.value != last.value + point.code - last.code
            if not single:
                continue
        joined.append(Point(point.code, Kind.RUN, point.value) if single else point)
    return joined


def _symbol_of(text: str, number: int) -> int:
    """Return the symbol of a character of the alphabet.

    Raises:
        UnsupportedError: If the library moves the character past others.
    """
    lib = library()
    order = lib.normalizers.NFD().normalize_str
    low, high = "\u0334", "\u0345"  # combining classes 1 and 240
    if order(text + low) != text + low or order(high + text) != high + text:
        raise UnsupportedError(
            f"character U+{ord(text):04X} of the tokenizer is a combining mark that changes places"
        )
    pieces = lib.pre_tokenizers.Whitespace().pre_tokenize_str(f"a{text}a")
    alone = _changed().get(ord(text), text) != text  # a CJK character: spaces around it
    kind = Class.ALONE if alone else Class.WORD if len(pieces) == 1 else Class.OTHER
    return symbol(number, kind)


def _symbols(result: str, known: dict[str, int]) -> tuple[int, ...]:
    """Return the symbols of what a code point becomes."""
    if result == " ":
        return (_SPACE,)
    alone = result.startswith(" ")
    found = tuple(known.get(char, _UNKNOWN) for char in result if char != " ")
    return tuple(value & (MAX_FIRST - 1) for value in found) if alone else found


def text_features(tokenizer: Tokenizer) -> Features:
    """Return the features section of a model that takes text.

    Raises:
        UnsupportedError: As `token_table`.
    """
    return Features("bpe", token_table(tokenizer))
