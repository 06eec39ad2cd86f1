"""How the devices of a project learn by themselves: from its file into every wished state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.config import LearnSection, load_config
from edgekit.errors import ConfigError
from edgekit.link.messages import Desired, Learning
from edgekit.service.wishes import Wish, learning_of


def test_learning_is_off_unless_a_rate_is_given() -> None:
    """Steps per minute are the switch; a model without a head does not learn."""
    assert learning_of(LearnSection()) is None
    assert learning_of(LearnSection(enabled=False, steps_per_minute=60)) is None
    found = learning_of(LearnSection(steps_per_minute=60, method="lwf", rate=0.5))
    assert found == Learning(steps_per_minute=60, method=2, rate=0.5)


def test_document_carries_learning() -> None:
    """What is wished is what is read, with and without learning."""
    learning = Learning(steps_per_minute=60_000, method=3, rate=0.25)
    for each in (None, learning):
        document = Wish().document(now_s=5.0, heartbeat_s=15, learning=each)
        assert Desired.decode(document.encode()).learning == each


@pytest.mark.parametrize(
    "wrong", [{"steps_per_minute": 60_001}, {"steps_per_minute": 0}, {"method": 4}]
)
def test_learning_out_of_range_is_a_mistake(wrong: dict[str, int]) -> None:
    """What a device would refuse is not said."""
    learning = replace(Learning(steps_per_minute=60, method=0, rate=0.1), **wrong)
    with pytest.raises(ValueError, match="expected"):
        Wish().document(now_s=5.0, heartbeat_s=15, learning=learning).encode()


@pytest.mark.parametrize("line", ['method = "sgd"', 'mode = "extend"', "steps_per_minute = 60001"])
def test_project_names_what_may_be_chosen(line: str, tmp_path: Path) -> None:
    """An unknown method or mode, or too many steps, is refused where the file is read."""
    (tmp_path / "edgekit.toml").write_text(f"[learn]\n{line}\n")
    with pytest.raises(ConfigError, match=r"edgekit\.toml"):
        load_config(tmp_path)
