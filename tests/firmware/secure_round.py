"""A round of secure aggregation with one real device; the other members are in Python."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from lone_server import DEVICE, LoneServer
from tiny_model import TABLE

from edgekit.federated import secure_rounds
from edgekit.federated.codecs import HeadWeights, Update, decode_head
from edgekit.federated.plan import RunPlan
from edgekit.federated.rounds import advance, apply, open_run, receive, refused_by_device, reject
from edgekit.federated.secure_client import Member
from edgekit.federated.secure_state import SecurePhase
from edgekit.federated.settings import Settings
from edgekit.federated.simulate import Client, simulate, train
from edgekit.federated.state import Fact, RunState
from edgekit.link.messages import FederatedState, FederatedTask
from edgekit.runtime import Runner
from edgekit.service.secure import phase_tasks

OTHERS = ("m1", "m2", "m3", "m4")


class SecureRound:
    """One round of five members, of which one is the device behind a server.

    Attributes:
        rejected: Device and reason, as the server lists them.
    """

    def __init__(
        self, server: LoneServer, image: bytes, raw: np.ndarray, labels: np.ndarray
    ) -> None:
        self._server = server
        runner = Runner(image)
        head = runner.image.head
        assert head is not None
        features = runner.features(TABLE[raw])
        self.clients = {
            name: Client(features[at:], labels[at:], head.scale, head.zero_point)
            for at, name in enumerate((DEVICE, *OTHERS))
        }
        self.plan = RunPlan(
            run=2**50,
            base_image="",
            rounds=1,
            devices=(DEVICE, *OTHERS),
            epochs=2,
            rate=0.02,
            deadline_s=60.0,
            settings=Settings(secure=True),
        )
        self.head = HeadWeights(head.weights, head.bias)
        self.state: RunState | None = None
        self.rejected: tuple[tuple[str, str], ...] = ()
        self._take(open_run(self.plan, self.head))
        self._members = {
            name: Member(self.plan.run, 1, bytes([at + 1] * 32)) for at, name in enumerate(OTHERS)
        }

    def run(self, before: Callable[[SecurePhase], None] = lambda phase: None) -> HeadWeights:
        """Go through all phases; `before` is called when the others have answered one."""
        while True:
            assert self.state is not None
            fact = advance(self.state, 0.0)
            if fact is not None:
                self._take(fact)
                if fact.kind == "federated.round_closed":
                    assert fact.blob is not None
                    return decode_head(fact.blob)
                continue
            assert self.state.secure is not None
            phase = self.state.secure.phase
            for name in (name for name in self.state.missing if name != DEVICE):
                self._take(receive(self.state, name, self._said(name, phase), phase))
            if DEVICE in self.state.missing:
                before(phase)
                self._ask_device(phase)

    def expected(self, members: tuple[str, ...]) -> HeadWeights:
        """The head of the exact simulation with these members."""
        clients = {name: self.clients[name] for name in members}
        return simulate(self.plan, self.head, clients).head

    def _take(self, fact: Fact) -> None:
        if self.state is not None:
            self.rejected = self.state.rejected
        self.state = apply(self.state, fact.kind, fact.body, time_s=0.0, blob=fact.blob)

    def _said(self, name: str, phase: SecurePhase) -> bytes:
        assert self.state is not None
        member, handed = self._members[name], secure_rounds.input_of(self.state, name)
        if phase is SecurePhase.KEYS:
            return member.keys()
        if phase is SecurePhase.SHARES:
            return member.shares(handed)
        if phase is SecurePhase.UNMASK:
            return member.reveal(handed)
        update: Update = train(self.clients[name], self.plan, 1, self.head)
        return member.masked(handed, update)

    def _ask_device(self, phase: SecurePhase) -> None:
        assert self.state is not None
        server, head = self._server, self.head.encode()
        task = FederatedTask(
            run=self.plan.run,
            round=1,
            base_head_hash=self.head.hash,
            head_object=server.offer(head),
            head_bytes=len(head),
            epochs=self.plan.epochs,
            rate=self.plan.rate,
            decay=0.0,
            deadline_s=120,
        )
        tasks, objects = phase_tasks(self.state, task, [DEVICE], 0.0)
        for data in objects:
            server.offer(data)
        server.desire(task=tasks[DEVICE])
        server.wait(
            lambda: (
                server.reported is not None
                and server.reported.federated.run == self.plan.run
                and server.reported.federated.phase == phase
                and server.reported.federated.state
                in (FederatedState.READY, FederatedState.REFUSED)
            ),
            60.0,
        )
        assert server.reported is not None
        report = server.reported.federated
        assert report.samples == 0 and server.reported.skills == ("codecs", "secure")
        if report.state is FederatedState.REFUSED:
            fact = reject(self.state, DEVICE, 1, refused_by_device(report.status), phase)
            assert fact is not None
            self._take(fact)
            return
        assert report.update_hash is not None
        data = server.pull(report.update_object, report.update_bytes, report.update_hash)
        self._take(receive(self.state, DEVICE, data, phase))
        assert self.state.rejected == (), self.state.rejected
