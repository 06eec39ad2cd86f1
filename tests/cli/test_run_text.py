"""`edgekit run --text`: what a person sees, on the host and on boards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from litert_models import classifier
from text_models import text_model

from edgekit.cli import main as frame

pytestmark = [pytest.mark.cc, pytest.mark.train]
Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str) -> tuple[int, str]:
    """Return exit status and all that was printed."""
    status = frame.main(["run", *arguments])
    said = capsys.readouterr()
    return status, said.out + said.err


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "commands.ekm"
    path.write_bytes(text_model().image)
    return path


def test_texts_are_classified_on_the_host(model: Path, capsys: Capture) -> None:
    status, said = run(capsys, str(model), "--text", "Turn on the light", "--text", "")
    assert status == 0, said
    first, second = said.splitlines()
    assert first.endswith("tokens)  'Turn on the light'")
    assert first.split()[1] in ("light", "heating", "radio")
    assert second.endswith("(1 tokens)  ''")


def test_check_adds_up_weights_and_arena(model: Path, capsys: Capture) -> None:
    question = ["check", str(model), "--board", "mps2_an386"]
    assert frame.main([*question, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["memory_bytes"] == facts["weight_bytes"] + facts["arena_bytes"]
    assert 0 < facts["weight_bytes"] < facts["image_bytes"]
    assert frame.main(question) == 0
    said = capsys.readouterr().out
    assert (
        f"memory {facts['memory_bytes']:>9,} bytes: weights {facts['weight_bytes']:,} and" in said
    )
    assert "EmbBERT-Q counts 781,056" in said


def test_lines_of_a_file_are_classified(model: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(b"turn on the light\r\n\n\xff\xfe radio")
    status, said = run(capsys, str(model), "--text-file", str(path), "--json")
    assert status == 0, said
    rows = json.loads(said)["texts"]
    assert [row["text"] for row in rows] == ["turn on the light", "", "\ufffd\ufffd radio"]
    assert all(0 < row["score"] <= 1 and len(row["logits"]) == 3 for row in rows)


@pytest.mark.emulator
def test_a_board_says_the_same_and_counts(model: Path, capsys: Capture) -> None:
    options = (str(model), "--text", "turn on the light", "--json")
    status, on_host = run(capsys, *options)
    assert status == 0, on_host
    status, on_board = run(capsys, *options, "--on", "mps2_an386")
    assert status == 0, on_board
    (mine,), (theirs,) = (json.loads(said)["texts"] for said in (on_host, on_board))
    assert theirs.items() >= mine.items()
    assert theirs["text_instructions"] > 1_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--text-file", "none.txt"], "none.txt: No such file"),
        (["--text", "x", "--input", "x.npy"], "--text and --text-file go with neither"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    options: list[str], text: str, model: Path, capsys: Capture
) -> None:
    status, said = run(capsys, str(model), *options)
    assert status == 1
    assert text in said
    assert len(said.splitlines()) == 1


def test_a_model_without_tokenizer_says_so(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "plain.tflite"
    path.write_bytes(classifier())
    status, said = run(capsys, str(path), "--text", "x")
    assert status == 1
    assert "model 'plain' takes no text: its image has no tokenizer" in said


def test_an_empty_file_of_texts_is_an_error(model: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    status, said = run(capsys, str(model), "--text-file", str(tmp_path / "empty.txt"))
    assert status == 1
    assert "empty.txt: has no line" in said
