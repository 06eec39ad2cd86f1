"""Texts for `edgekit run`: where they come from, and what a model says about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.export.compile import CompiledModel
    from edgekit.runtime.text import Answer


def read_texts(texts: list[str], path: Path | None) -> list[bytes]:
    """Return the texts of the command line, then the lines of a file as they are.

    Raises:
        ConfigError: If the file cannot be read or has no line.
    """
    import os

    from edgekit.errors import ConfigError

    found = [os.fsencode(text) for text in texts]
    if path is None:
        return found
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    lines = lines[:-1] if lines[-1] == b"" else lines
    if not lines:
        raise ConfigError(f"{path}: has no line")
    return found + [line.removesuffix(b"\r") for line in lines]


def run_texts(compiled: CompiledModel, on: str, texts: list[bytes], *, as_json: bool) -> None:
    """Classify texts on the host or on a board, and print what the model says.

    Raises:
        RefusedError: If the model takes no text.
    """
    from edgekit.errors import RefusedError
    from edgekit.runtime import Runner

    runner = Runner(compiled.image)
    if not runner.takes_text:
        raise RefusedError(
            f"model '{compiled.meta.name}' takes no text: its image has no tokenizer;"
            " give --input, or an .ekm of a text project"
        )
    counts: list[tuple[int, int]] = []
    if on == "host":
        ids = runner.text_ids(texts)
        outputs = runner.run(ids)
    else:
        from edgekit.boards import load_board
        from edgekit.export.fit import require_fit
        from edgekit.flash.bench import run_texts_on_board

        board = load_board(on)
        require_fit(compiled, board)
        result = run_texts_on_board(board, compiled.image, texts)
        ids, outputs = result.ids, result.outputs
        pairs = zip(result.text_instructions, result.instructions, strict=True)
        counts = [(round(text), round(model)) for text, model in pairs]
    answers = [runner.answer(output) for output in outputs]
    tokens = [int((row != 0).sum()) for row in ids]
    if as_json:
        _print_json(on, texts, answers, tokens, counts)
        return
    for index, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        shown = text[:60].decode("utf-8", "replace")
        print(f"{answer.score:.3f}  {answer.name}  ({tokens[index]} tokens)  {shown!r}")
        if counts:
            print(f"       {counts[index][0]:,} + {counts[index][1]:,} instructions, text + model")


def _print_json(
    on: str,
    texts: list[bytes],
    answers: list[Answer],
    tokens: list[int],
    counts: list[tuple[int, int]],
) -> None:
    import json

    rows = [
        {
            "text": text.decode("utf-8", "replace"),
            "label": answer.label,
            "name": answer.name,
            "score": answer.score,
            "logits": [float(value) for value in answer.logits],
            "tokens": count,
        }
        for text, answer, count in zip(texts, answers, tokens, strict=True)
    ]
    for row, (text_count, model_count) in zip(rows, counts, strict=False):
        row["text_instructions"] = text_count
        row["instructions"] = model_count
    print(json.dumps({"on": on, "texts": rows}, indent=2, ensure_ascii=False))
