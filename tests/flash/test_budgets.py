"""No model costs more than `tests/budgets.toml` allows."""

from __future__ import annotations

import tomllib

import pytest
from reference_models import MODELS
from tolerance import BUDGET

from tools.bench.models import PUBLIC, public_files
from tools.budgets import BOARDS, FILE, measure

BUDGETS = tomllib.loads(FILE.read_text(encoding="utf-8"))


def test_every_model_has_a_budget_on_every_board() -> None:
    assert set(BUDGETS) == {*MODELS, *PUBLIC}
    assert all(tuple(boards) == BOARDS for boards in BUDGETS.values())


@pytest.mark.emulator
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", MODELS)
def test_model_stays_within_its_budget(name: str, board: str) -> None:
    assert_within(name, MODELS[name](), board)


@pytest.mark.emulator
@pytest.mark.data("models")
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", PUBLIC)
def test_public_model_stays_within_its_budget(name: str, board: str) -> None:
    assert_within(name, public_files()[name].read_bytes(), board)


def assert_within(name: str, source: bytes, board: str) -> None:
    allowed = BUDGETS[name][board]
    found = measure(name, source, board)
    assert found.keys() == allowed.keys()
    for key, value in found.items():
        assert value <= allowed[key] * (1 + BUDGET), (
            f"{name} on {board}: {value:,} {key}, budget {allowed[key]:,};"
            " if that is meant, run 'python -m tools.budgets'"
        )
