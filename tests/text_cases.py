"""Strings that a tokenizer may meet: sentences, scripts, marks, broken bytes, endless words."""

from __future__ import annotations

import numpy as np

from edgekit.data.tokenizer import SPECIAL_TOKENS, Tokenizer

SENTENCES = (
    "Turn on the light in the kitchen, please!",
    "What's the weather going to be like at 7:30 tomorrow?",
    "The children weren't interested in the twenty-three administrators' interpretation.",
    "Ça va très bien, mademoiselle; l’été à Besançon coûte 12 €.",
    "Größere Fußgängerübergänge – „schön“, sagte er.",
    "Широкая электрификация южных губерний даст мощный толчок.",
    "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία.",
    "키스의 고유조건은 입술끼리 만나야 하고",
    "敏捷的棕色狐狸跳過懶狗。 いろはにほへと ちりぬるを",
    "नमस्ते दुनिया, আমি বাংলায় গান গাই",
    "نص حكيم له سر قاطع وذو شأن عظيم",
    "I ❤️ it 😀😀👩‍👩‍👧 #1 @home http://example.org/a?b=c&d=%20",
)
RANGES = (
    (0x20, 0x7F),
    (0x00, 0x20),
    (0x7F, 0x250),
    (0x300, 0x370),
    (0x370, 0x530),
    (0x590, 0x700),
    (0x900, 0xE00),
    (0x1100, 0x1200),
    (0x1AB0, 0x1B00),
    (0x1B00, 0x1B80),
    (0x1D00, 0x2100),
    (0x2000, 0x2070),
    (0x20D0, 0x2200),
    (0x3000, 0x3100),
    (0x4E00, 0x4F00),
    (0xAC00, 0xD7B0),
    (0xE000, 0xE010),
    (0xF900, 0xFB10),
    (0xFE00, 0xFF70),
    (0xFFF0, 0x10000),
    (0x10900, 0x11A00),
    (0x1D100, 0x1D200),
    (0x1E000, 0x1E950),
    (0x1F300, 0x1F700),
    (0x20000, 0x20100),
    (0x2F800, 0x2FA20),
    (0xE0000, 0xE0200),
    (0, 0x110000),
)


def corpus(rng: np.random.Generator, count: int) -> list[str]:
    """Return texts of many scripts to learn a vocabulary from."""
    words = [word for sentence in SENTENCES for word in sentence.split()]
    words += [_word(rng, *RANGES[int(i)]) for i in rng.integers(0, len(RANGES) - 1, 300)]
    return [" ".join(words[int(i)] for i in rng.integers(0, len(words), 12)) for _ in range(count)]


def strings(rng: np.random.Generator, tokenizer: Tokenizer, count: int) -> list[bytes]:
    """Return `count` strings, some of them no UTF-8, some of them of 10 kB."""
    tokens = tokenizer.tokens()[5:]
    out = [b"", b" ", b"\x00", b"[SEP]", b"[CLS][PAD]", *(text.encode() for text in SENTENCES)]
    while len(out) < count:
        kind = int(rng.integers(0, 40))
        if kind < 16:
            text = "".join(_word(rng, *RANGES[int(i)]) for i in rng.integers(0, len(RANGES), 6))
        elif kind < 24:
            text = "".join(_joint(rng, tokens) for _ in range(int(rng.integers(1, 20))))
        elif kind < 28:
            text = _sentence(rng)
        elif kind < 30:
            unit = "".join(str(t) for t in rng.choice(tokens, int(rng.integers(1, 4))))
            text = unit * int(rng.integers(1, 300))
        elif kind == 30:
            text = "".join(_joint(rng, tokens) for _ in range(2500))[:10_000]
        elif kind == 31:
            text = "".join(str(t) for t in rng.choice(tokens, 3000))[:10_000]
        else:
            text = _sentence(rng)
        data = text.encode("utf-8", "surrogatepass")
        out.append(_broken(rng, data) if kind > 33 else data)
    return out[:count]


def _word(rng: np.random.Generator, low: int, high: int) -> str:
    length = int(rng.integers(1, 7))
    return "".join(chr(int(code)) for code in rng.integers(low, high, length))


def _joint(rng: np.random.Generator, tokens: list[str]) -> str:
    """Return a token, its beginning or end, in any case, or something between words."""
    pick = int(rng.integers(0, 12))
    token = tokens[int(rng.integers(0, len(tokens)))]
    if pick < 6:
        return token
    if pick == 6:
        return token[: int(rng.integers(1, len(token) + 1))].upper()
    if pick == 7:
        return token[int(rng.integers(0, len(token))) :]
    if pick == 8:
        return str(rng.choice([*SPECIAL_TOKENS, "[SEP", "[[CLS]]", "[sep]", "[UNK]x"]))
    if pick == 9:
        return str(rng.choice(["\u0301", "\u200d", "\ufe0f", "\u00ad", "\ufffd", "_", "'", "\n"]))
    return " "


def _sentence(rng: np.random.Generator) -> str:
    words = SENTENCES[int(rng.integers(0, len(SENTENCES)))].split()
    text = " ".join(str(word) for word in rng.permutation(words))
    return text.swapcase() if rng.integers(0, 2) else text


def _broken(rng: np.random.Generator, data: bytes) -> bytes:
    """Change, insert or cut bytes, so that some are no UTF-8."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(0, len(out) + 1))
        choice = int(rng.integers(0, 3))
        byte = int(rng.choice([0x80, 0xBF, 0xC0, 0xC3, 0xE2, 0xED, 0xF0, 0xF4, 0xFF, 0xA0, 0x90]))
        if choice == 0:
            out.insert(at, byte)
        elif out and choice == 1:
            out[min(at, len(out) - 1)] = byte
        else:
            del out[at : at + 1]
    return bytes(out)
