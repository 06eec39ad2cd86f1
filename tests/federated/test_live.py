"""A run as `edgekit federate status --watch` and `--report` show it."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from federated.test_secure import Drops, names
from federated.test_secure import plan as secure_plan
from federated.test_secure import run as secure_run
from rich.console import Console
from rich.text import Text

from edgekit.cli.federate_watch import picture
from edgekit.cli.main import main
from edgekit.federated.codecs import HeadWeights, Update
from edgekit.federated.live import Follower, Run, is_over, live_body, run_body
from edgekit.federated.orders import run_states
from edgekit.federated.rounds import (
    RunPlan,
    RunState,
    advance,
    apply,
    finish,
    open_run,
    receive,
    reject,
)
from edgekit.federated.secure_state import SecurePhase
from edgekit.journal import Journal

HEAD = HeadWeights(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
PLAN = RunPlan(
    run=4,
    base_image="ab" * 32,
    rounds=2,
    devices=("a", "b", "c"),
    epochs=1,
    rate=0.1,
    deadline_s=1e6,
)


class Teller:
    """Puts the facts of a run into a journal, and follows it."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.follower = journal, Follower(journal)
        self._enter(open_run(PLAN, HEAD))

    @property
    def state(self) -> RunState:
        return run_states(self.journal)[4]

    @property
    def run(self) -> Run:
        return self.follower.runs[4]

    def _enter(self, fact: object) -> None:
        self.journal.append(fact.kind, "4", fact.body, blob=fact.blob)  # type: ignore[attr-defined]
        assert self.follower.poll()

    def go(self, later_s: float = 0.0) -> None:
        closes_s = self.state.opened_s + later_s
        while (fact := advance(self.state, closes_s)) is not None:
            if fact.kind == "federated.round_closed":
                fact.body["accuracy"] = 0.5 + self.state.round / 10
            self._enter(fact)

    def answer(self, device: str, loss: float) -> None:
        update = Update(
            run=4,
            round=self.state.round,
            samples=5,
            base_hash=self.state.head.hash,
            loss_first=2.0,
            loss_last=loss,
            weights=np.ones((2, 3), np.float32),
            bias=np.ones(2, np.float32),
        )
        self._enter(receive(self.state, device, update.encode()))
        self.go()

    def refuse(self, device: str, reason: str, *, round_: int | None = None) -> None:
        self._enter(reject(self.state, device, round_ or self.state.round, reason))
        self.go()

    def end(self) -> None:
        self._enter(finish(self.state, "enough"))


@pytest.fixture
def teller(tmp_path: Path) -> Teller:
    made = Teller(Journal.open(tmp_path / ".edgekit" / "journal.db"))
    made.go()
    return made


def test_view_counts_who_answered_why_not_and_the_bytes(teller: Teller) -> None:
    head, update = len(HEAD.encode()), 72 + 4 * 8
    teller.answer("a", 1.5)
    teller.refuse("b", "it has no samples")
    body = live_body(teller.run, teller.run.rounds[1].opened_s)
    assert (body["round"], body["joined"], body["answered"], body["accepted"]) == (1, 3, 2, 1)
    assert body["rejected"] == {"it has no samples": 1}
    assert (body["down_bytes"], body["up_bytes"]) == (3 * head, update)
    assert body["loss"] is None
    teller.answer("c", 0.5)  # closes the round, the next one opens
    body = live_body(teller.run, teller.run.rounds[1].opened_s)
    assert (body["round"], body["answered"], body["rejected"]) == (2, 0, {})
    assert (body["down_bytes"], body["up_bytes"]) == (6 * head, 2 * update)
    assert (body["loss"], body["accuracy"]) == (1.0, 0.6)
    assert not is_over(teller.run)
    assert not teller.follower.poll()


def test_view_tells_the_same_rounds_as_the_state_that_folds(teller: Teller) -> None:
    teller.answer("b", 0.5)
    teller.refuse("c", "it has no samples")
    teller.go(PLAN.deadline_s)  # without "a"
    assert teller.run.table[0].silent == ("a",)
    teller.refuse("a", "late: round 1 is closed", round_=1)
    assert teller.run.table == teller.state.table
    assert teller.run.current is not None
    assert teller.run.current.missing == teller.state.missing == ("a", "b", "c")
    assert teller.run.rejections() == {
        "a": {"late: round 1 is closed": 1},
        "c": {"it has no samples": 1},
    }
    body = run_body(teller.run)
    assert body["head_hash"] == teller.state.head.hash.hex()
    assert body["rejected"] == teller.run.rejections()
    teller.end()
    assert run_body(teller.run)["reason"] == "enough"


def test_view_tells_the_rounds_of_secure_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices are silent from a phase on, and one of two rounds fails."""
    run_plan = secure_plan(6, rounds=2)
    name = str(run_plan.run)
    with Journal.open(tmp_path / "journal.db") as journal:
        follower = Follower(journal)

        def entered(state: RunState | None, kind: str, body: Any, **rest: Any) -> RunState:
            journal.append(kind, name, body, blob=rest["blob"])
            follower.poll()
            made = apply(state, kind, body, **rest)
            seen = follower.runs[run_plan.run]
            assert seen.phase is made.phase
            if made.collecting:
                assert seen.current is not None
                assert seen.current.missing == made.missing
                assert seen.current.counted == made.counted
            return made

        monkeypatch.setattr("edgekit.federated.secure_simulate.apply", entered)
        drops: Drops = {
            (1, SecurePhase.UNMASK): set(names(3)),
            (2, SecurePhase.MASKED): {"d01"},
        }
        state = secure_run(run_plan, drops)
    rows = [replace(row, seconds=0.0) for row in follower.runs[run_plan.run].table]
    assert rows == [replace(row, seconds=0.0) for row in state.table]
    assert rows[0].failed and not rows[1].failed


def test_time_that_is_left_is_that_of_the_last_rounds(teller: Teller) -> None:
    run, plan = teller.run, teller.run.plan
    begun_s = run.rounds[1].opened_s
    assert run.left_s(begun_s) is None
    assert run.deadline_s() == begun_s + plan.deadline_s
    for device in plan.devices:
        teller.answer(device, 1.0)
    run.rounds[1].closed_s = begun_s + 40
    run.rounds[2].opened_s = begun_s + 40
    assert run.left_s(begun_s + 50) == pytest.approx(30)
    assert run.left_s(begun_s + 500) == 0
    teller.end()
    assert run.left_s(begun_s) is None and run.deadline_s() is None


def drawn(run: Run, now_s: float, *, height: int = 30) -> str:
    """Return what a terminal of 100 columns shows."""
    console = Console(file=StringIO(), width=100, height=height, force_terminal=True)
    with console.capture() as shown:
        console.print(picture(run, now_s, console, "fleet is not running"))
    return Text.from_ansi(shown.get()).plain


def test_terminal_shows_a_table_with_a_bar_and_who_was_rejected(teller: Teller) -> None:
    for device in teller.run.plan.devices:
        teller.answer(device, 1.25)
    teller.answer("b", 1.0)
    teller.refuse("a", "it has no samples")
    text = drawn(teller.run, teller.run.rounds[2].opened_s + 5)
    assert "run 4  fedavg on 3 devices, image abababababab" in text
    assert "round 2 of 2" in text and "2 of 3" in text
    assert "at the latest" in text and "to the end" in text
    lines = [line.split() for line in text.splitlines()]
    names = ["round", "joined", "answered", "rejected", "down", "up", "loss", "accuracy", "time"]
    assert names in lines
    assert ["1", "3", "3", "0", "132", "B", "312", "B", "1.2500", "60.0%"] in [
        line[:10] for line in lines
    ]
    assert ["a", "1", "it", "has", "no", "samples"] in lines
    assert "no answer yet from c" in text
    assert "fleet is not running" in text
    assert len(drawn(teller.run, 0.0, height=5).splitlines()) < 20


def test_command_says_each_change_and_ends_with_the_run(
    teller: Teller, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for device in ("a", "b", "c"):
        teller.answer(device, 1.0)
    teller.refuse("a", "too far away")
    teller.end()
    assert main(["federate", "status", "--project", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "rejected 1 time: a, too far away" in text
    assert "round 1: 3 updates, 0 rejected, 0 silent" in text
    page = tmp_path / "run.html"
    words = ["federate", "status", "--watch", "--project", str(tmp_path)]
    assert main([*words, "--json", "--report", str(page)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["reason"] == "enough"
    assert main([*words, "4"]) == 0
    assert "round 2 of 2, finished: enough; joined 3;" in capsys.readouterr().out
    assert main([*words, "9"]) == 1
    assert "run 9 is unknown, known are 4" in capsys.readouterr().err
    text = page.read_text()
    for name in ("Summary", "Loss", "Accuracy", "Answers", "Bytes", "Rounds", "Rejected by device"):
        assert f"<h2>{name}</h2>" in text
    for part in text.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")
