"""A run as `edgekit federate status --watch` and `--report` show it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from edgekit.cli.main import main
from edgekit.federated.codecs import HeadWeights, Update
from edgekit.federated.live import Follower, is_over, live_body
from edgekit.federated.rounds import RunPlan, RunState, advance, finish, open_run, receive, reject
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
        return self.follower.runs[4].state

    def _enter(self, fact: object) -> None:
        self.journal.append(fact.kind, "4", fact.body, blob=fact.blob)  # type: ignore[attr-defined]
        assert self.follower.poll()

    def go(self) -> None:
        while (fact := advance(self.state, self.state.opened_s)) is not None:
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

    def refuse(self, device: str, reason: str) -> None:
        self._enter(reject(self.state, device, self.state.round, reason))
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
    body = live_body(teller.follower.runs[4])
    assert (body["round"], body["joined"], body["answered"], body["accepted"]) == (1, 3, 2, 1)
    assert body["rejected"] == {"it has no samples": 1}
    assert (body["down_bytes"], body["up_bytes"]) == (3 * head, update)
    assert body["loss"] is None
    teller.answer("c", 0.5)  # closes the round, the next one opens
    body = live_body(teller.follower.runs[4])
    assert (body["round"], body["answered"], body["rejected"]) == (2, 0, {})
    assert (body["down_bytes"], body["up_bytes"]) == (6 * head, 2 * update)
    assert (body["loss"], body["accuracy"]) == (1.0, 0.6)
    assert not is_over(teller.follower.runs[4])
    assert not teller.follower.poll()


def test_command_says_each_change_and_ends_with_the_run(
    teller: Teller, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for device in ("a", "b", "c"):
        teller.answer(device, 1.0)
    teller.refuse("a", "too far away")
    teller.end()
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
    for name in ("Loss", "Accuracy", "Answers", "Bytes"):
        assert f"<h2>{name}</h2>" in text
    for part in text.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")
