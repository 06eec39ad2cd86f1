"""Values as C source text: identifiers, string literals, comments, numbers.

Names, labels and licences come from outside; whatever they hold, the text stays one token or one
comment.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

import numpy as np

from edgekit.errors import ConfigError

# Keywords of C11 and C++20, and names that the standard library or this library has taken.
# Source: ISO/IEC 9899:2011 6.4.1; ISO/IEC 14882:2020 5.11, tables 5 and 6.
RESERVED = frozenset(
    """
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while _alignas _alignof _atomic _bool _complex _generic _imaginary
    _noreturn _static_assert _thread_local alignas alignof and and_eq asm atomic bitand bitor bool
    catch char8_t char16_t char32_t class compl concept consteval constexpr constinit const_cast
    co_await co_return co_yield decltype delete dynamic_cast explicit export false final friend
    import module mutable namespace new noexcept not not_eq nullptr operator or or_eq override
    private protected public reinterpret_cast requires static_assert static_cast template this
    thread_local throw true try typeid typename using virtual wchar_t xor xor_eq
    ek errno main memory_order
    """.split()
)
MAX_IDENTIFIER = 31


def identifier(name: str) -> str:
    """Return the prefix of C names for a model: lower case, no reserved word, at most 31 letters.

    >>> identifier("KWS DS-CNN (2)"), identifier("float"), identifier("3x3")
    ('kws_ds_cnn_2', 'model_float', 'model_3x3')
    """
    text = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not _usable(text):
        text = f"model_{text}" if text else "model"
    return text[:MAX_IDENTIFIER].rstrip("_")


def check_identifier(name: str) -> str:
    """Return a prefix that the user chose.

    Raises:
        ConfigError: If C or this library does not allow it.
    """
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None or len(name) > MAX_IDENTIFIER:
        raise ConfigError(
            f"prefix '{name}': expected a lower-case letter, then letters, digits and _,"
            f" at most {MAX_IDENTIFIER}"
        )
    if not _usable(name):
        raise ConfigError(f"prefix '{name}' is a reserved word of C or C++, or taken by edgekit")
    return name


def _usable(text: str) -> bool:
    return text[:1].isalpha() and text not in RESERVED and not text.startswith("ek_")


def string_literal(text: str) -> str:
    r"""Return a string literal of the UTF-8 bytes of text.

    Bytes beyond plain ASCII are octal with three digits, which no digit behind them can lengthen;
    question marks are escaped, because in C11 two of them may begin a trigraph.

    >>> print(string_literal('a"b\\?é'))
    "a\"b\\\?\303\251"
    """
    special = {0x22: '\\"', 0x5C: "\\\\", 0x3F: "\\?"}
    parts = (
        special.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}")
        for byte in text.encode("utf-8", "surrogatepass")
    )
    return '"' + "".join(parts) + '"'


def comment(text: str) -> str:
    r"""Return text as one line that neither ends nor begins a comment.

    >>> comment("a*/b\nc")
    'a* /b c'
    """
    line = "".join(
        c if 0x20 <= ord(c) < 0x7F else " " if c.isspace() else "." for c in text
    ).replace("??", "? ?")
    return line.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").strip()


def float_literal(value: float) -> str:
    """Return a float constant that C reads back as exactly the float32 of value.

    >>> float_literal(0.1), float_literal(1.0), float_literal(1e-10)
    ('0.1f', '1.0f', '1e-10f')
    """
    return f"{np.float32(value)!s}f"


def byte_lines(data: bytes, *, per_line: int = 16) -> str:
    """Return the elements of an array of bytes, one line per 16."""
    rows = (data[start : start + per_line] for start in range(0, len(data), per_line))
    return "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)


def comment_lines(lines: Iterable[str]) -> str:
    """Return lines of a block comment, wrapped."""
    wrapped = (
        part
        for line in lines
        for part in textwrap.wrap(comment(line), 96, subsequent_indent="    ") or [""]
    )
    return "\n".join(f" * {part}".rstrip() for part in wrapped)
