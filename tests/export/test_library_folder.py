"""The C library's text and folder: the same every time, written whole, never over others' files."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path

import pytest
from library_models import plain, tiny

from edgekit.cli import main as frame
from edgekit.errors import ConfigError
from edgekit.export import c_text
from edgekit.export.library import library_files, write_library
from edgekit.formats.container import Section
from edgekit.formats.image_reader import image_sections

# Compiling a model runs its golden vectors in the host's runtime.
pytestmark = pytest.mark.cc

ROOT = Path(__file__).resolve().parents[2]


def test_two_exports_are_equal_in_every_byte(tmp_path: Path) -> None:
    first = write_library(tiny(), out=tmp_path / "a" / "lib")
    second = write_library(tiny(), out=tmp_path / "other" / "place")
    assert first.files == second.files
    for name in first.files:
        data = (first.folder / name).read_bytes()
        assert data == (second.folder / name).read_bytes(), name
        assert str(tmp_path).encode() not in data
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"lib"}


def test_library_holds_the_sections_of_the_image_with_its_id() -> None:
    files = library_files(tiny())
    for name, section in (("weights", Section.WEIGHTS), ("golden", Section.GOLDEN)):
        body = files["src/model.c"].split(f" {name}_bytes[")[1].split("] = {\n")[1].split("\n};")[0]
        offset, size = image_sections(tiny().image)[section]
        found = bytes(int(word, 16) for word in re.findall(r"0x([0-9a-f]{2})", body))
        assert found == tiny().image[offset : offset + size]
    assert tiny().id.hex() in files["src/model.c"]
    assert json.loads(files["edgekit.json"])["image_id"] == tiny().id.hex()


def test_licence_is_the_one_of_the_repository() -> None:
    assert library_files(plain())["LICENSE"] == (ROOT / "LICENSE").read_text()
    assert "Apache-2.0" in library_files(tiny())["NOTICE"]


def test_library_is_replaced_while_nobody_changed_it(tmp_path: Path) -> None:
    out = tmp_path / "lib"
    write_library(tiny(), out=out)
    written = write_library(plain(), out=out)
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == set(written.files)
    assert [path.name for path in tmp_path.iterdir()] == ["lib"]


def test_folder_that_edgekit_did_not_write_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    write_library(plain(), out=out)  # an empty folder holds nothing to lose
    (out / "src" / "model.c").write_text("changed")
    with pytest.raises(ConfigError, match=r"'src/model\.c' was changed since edgekit wrote it"):
        write_library(plain(), out=out)
    assert (out / "src" / "model.c").read_text() == "changed"
    other = tmp_path / "other"
    write_library(plain(), out=other)
    (other / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"edgekit did not write 'notes\.txt' in it"):
        write_library(plain(), out=other)
    (other / "edgekit.json").unlink()
    with pytest.raises(ConfigError, match="was not written by edgekit"):
        write_library(plain(), out=other)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="is no folder"):
        write_library(plain(), out=file)


def test_failed_write_leaves_the_old_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "lib"
    write_library(plain(), out=out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if ".new-" in self.name:
            raise OSError("disk went away")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="disk went away"):
        write_library(tiny(), out=out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["lib"]


def test_examples_of_the_text_functions_hold() -> None:
    assert doctest.testmod(c_text).failed == 0


@pytest.mark.parametrize("prefix", ["int", "class", "ek_x", "Kws", "3x", "a-b", "", "x" * 32])
def test_prefix_that_c_does_not_allow_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match=f"prefix '{prefix}'"):
        library_files(plain(), prefix=prefix)


def test_command_writes_the_library(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "m.ekm"
    path.write_bytes(plain().image)
    arguments = ["export", str(path), "--to", "c", "--out", str(tmp_path / "c")]
    assert frame.main([*arguments, "--prefix", "kws", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["to"], facts["prefix"]) == ("c", "kws")
    assert facts["image_id"] == plain().id.hex()
    assert sorted(facts["files"]) == sorted(
        file.relative_to(tmp_path / "c").as_posix()
        for file in (tmp_path / "c").rglob("*")
        if file.is_file()
    )
    assert frame.main([*arguments, "--prefix", "while"]) == 1
    assert capsys.readouterr().err.startswith("error: prefix 'while' is a reserved word")
    assert frame.main(["export", str(path), "--prefix", "kws"]) == 2
