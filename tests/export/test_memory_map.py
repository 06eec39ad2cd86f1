"""The map of the arena: every place and life is the plan's, and it can be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from litert_models import classifier

from edgekit.errors import ConfigError
from edgekit.export.compile import compile_tflite
from edgekit.export.memory_map import arena_facts, draw_memory_map, memory_map
from edgekit.formats.image_reader import read_image

pytestmark = pytest.mark.cc


def test_map_fills_the_arena_and_ends_where_it_does() -> None:
    compiled = compile_tflite(classifier(), name="c")
    lives = memory_map(read_image(compiled.image))
    assert {life.name for life in lives} >= {"input", *(layer.name for layer in compiled.layers)}
    assert -(-max(life.offset + life.bytes for life in lives) // 16) * 16 == compiled.arena_bytes
    for number in range(len(compiled.layers)):
        assert any(life.first <= number <= life.last for life in lives)


def test_facts_name_the_layer_that_sets_the_bound() -> None:
    compiled = compile_tflite(classifier(), name="c")
    facts = arena_facts(compiled)
    needs = {layer.name: layer.arena_bytes for layer in compiled.layers}
    assert facts["arena_bound_bytes"] == needs[facts["arena_peak_layer"]] == max(needs.values())
    assert facts["arena_bound_bytes"] <= compiled.arena_bytes
    assert set(facts["arena_map"][0]) == {"name", "offset", "bytes", "first", "last"}


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_plots_of_equal_models_are_equal_files(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    compiled = compile_tflite(classifier(), name="c")
    files = [tmp_path / f"{number}.{ending}" for number in range(2)]
    for file in files:
        draw_memory_map(compiled, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    if ending == "svg":
        assert f"{compiled.arena_bytes:,} bytes" in files[0].read_text()


def test_plot_with_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a plot is a \.svg or \.png file"):
        draw_memory_map(compile_tflite(classifier(), name="c"), tmp_path / "map.pdf")
