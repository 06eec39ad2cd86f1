"""One device's end of the protocol, without clock, socket or file.

It claims, reports, pulls releases and heads, has its device work, and holds the update ready.
Frames come in by `take`, time by `tick`; what is to be said waits in `outbox`.

Twin: firmware/agent/ (the same part of the protocol, in C)
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from edgekit.agent.installs import Installs
from edgekit.agent.own_learning import OwnLearning
from edgekit.agent.seals import Identity, Seals
from edgekit.agent.secure import SecureWork
from edgekit.agent.work import Work
from edgekit.errors import LinkError
from edgekit.link.chunks import ChunkPull, ChunkStore, object_id_of_hash
from edgekit.link.frames import FrameType, decode_frame
from edgekit.link.messages import (
    Chunk,
    ChunkRequest,
    ClaimResponse,
    Desired,
    FederatedReport,
    FederatedState,
    FederatedTask,
    Reported,
    TextQuestion,
    UpdateReport,
)
from edgekit.link.status import Status
from edgekit.link.topics import CHANNEL_OF_FRAME, Channel

logger = logging.getLogger(__name__)

CLAIM_AGAIN_S = 2.0
SKILLS = ("codecs", "secure")
MASKED = 3  # phase of a secure round in which the device learns
HEARTBEAT_S = 15.0  # until the server has said another

Submit = Callable[[Callable[[], Any]], Future[Any]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A frame that is to be published.

    Attributes:
        keep: Whether the broker is to acknowledge and retain it.
    """

    channel: Channel
    frame: bytes
    keep: bool


@dataclass(frozen=True, slots=True)
class About:
    """What a device says of itself that never changes."""

    board: str
    firmware: str
    kernel_set_hash: bytes
    release_key: bytes


class Client:
    """One device in a fleet.

    Args:
        work: What the device does; its slow parts run through `submit`.
        submit: Runs a function, now or in another thread.
        now_s: Seconds of a clock that never goes back; the same that `take` and `tick` are given.

    Attributes:
        outbox: What is to be published, oldest first.
    """

    def __init__(
        self,
        identity: Identity,
        about: About,
        work: Work,
        *,
        submit: Submit,
        now_s: float,
    ) -> None:
        self.outbox: deque[Outgoing] = deque()
        self.seals = Seals(identity)
        self._about, self._work, self._submit = about, work, submit
        self._begun_s = self._now_s = now_s
        self._desired: Desired | None = None
        self._federated = FederatedReport()
        self._pulls: dict[int, tuple[ChunkPull, Callable[[bytes | LinkError], None]]] = {}
        self._jobs: list[tuple[Future[Any], Callable[[Any], None]]] = []
        self._own = OwnLearning(
            work,
            start=self._start,
            say=lambda line: self._seal(FrameType.LOG, line.encode()),
        )
        self._objects: dict[int, bytes] = {}
        self._store = ChunkStore(self._objects.get)
        self._installs = Installs(
            about.release_key,
            device_class=about.board,
            kernel_set_hash=about.kernel_set_hash,
            work=work,
            pull=self._pull,
            start=self._start,
            changed=self._note,
        )
        self._secure = SecureWork()
        self._handed = b""  # shares of the neighbours, until the head is there
        self._report_due = True
        self._next_report_s = now_s
        self._next_claim_s = now_s

    @property
    def federated(self) -> FederatedReport:
        """Where it stands with its federated task."""
        return self._federated

    @property
    def update(self) -> UpdateReport:
        """Where it stands with its release."""
        return self._installs.report

    def connected(self, now_s: float) -> None:
        """The broker is there, perhaps with nothing in its memory: claim or report again."""
        self.outbox.clear()
        self._report_due, self._next_claim_s = True, now_s
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        self._now_s = now_s
        for job in [job for job in self._jobs if job[0].done()]:
            self._jobs.remove(job)
            job[1](job[0].result())
        if self.seals.key is None:
            if now_s >= self._next_claim_s:
                self._next_claim_s = now_s + CLAIM_AGAIN_S
                self._say(FrameType.CLAIM_REQUEST, self.seals.claim())
            return
        for number in list(self._pulls):
            self._ask(number, now_s)
        self._own.tick(now_s, idle=self._is_idle)
        if self._report_due or now_s >= self._next_report_s:
            self._report(now_s)

    def next_due_s(self) -> float:
        """When `tick` has something to do at the latest."""
        if self.seals.key is None:
            return self._next_claim_s
        own_s = self._own.next_due_s(idle=self._is_idle)
        pulls_s = (pull.next_due_s() for pull, _ in self._pulls.values())
        return min([self._next_report_s, own_s, *pulls_s])

    @property
    def _is_idle(self) -> bool:
        return self._federated.state is FederatedState.IDLE

    def take(self, data: bytes, now_s: float) -> None:
        """Take a frame of the server.

        Raises:
            LinkError: If it is refused.
            SecurityError: If a claim's answer is not the server's.
        """
        self._now_s = now_s
        frame = decode_frame(data)
        if frame.type is FrameType.CLAIM_RESPONSE:
            if self.seals.key is None:
                self.seals.take_claim(ClaimResponse.decode(frame.body))
                self._report_due = True
        else:
            sealed = self.seals.open(frame)
            if sealed.type is FrameType.DESIRED:
                self._take_desired(Desired.decode(sealed.content))
            elif sealed.type is FrameType.CHUNK:
                self._take_chunk(Chunk.decode(sealed.content))
            elif sealed.type is FrameType.CHUNK_REQUEST:
                chunk = self._store.answer(ChunkRequest.decode(sealed.content))
                self._seal(FrameType.CHUNK, chunk.encode())
            elif sealed.type is FrameType.TEXT_QUESTION:
                asked = TextQuestion.decode(sealed.content)
                self._start(
                    lambda: self._work.answer(asked.number, asked.text),
                    lambda answer: self._seal(FrameType.TEXT_ANSWER, answer),
                )
        self.tick(now_s)

    # What is to be

    def _take_desired(self, desired: Desired) -> None:
        if self._desired is not None and desired.version < self._desired.version:
            return
        self._desired = desired
        self._report_due = True
        self._installs.wish(desired.model, desired.time_s)
        self._wish_task(desired.task)
        self._own.wish(desired.learning, idle=self._is_idle)

    def _wish_task(self, task: FederatedTask | None) -> None:
        now = self._federated
        if task is None:
            self._task_state(FederatedReport())
            return
        if now.state is not FederatedState.IDLE and self._is_current(task):
            return  # at it already, or done
        status, samples = self._work.check(task)
        phase = _phase(task)
        told = 0 if phase else samples  # of a secure round nobody learns them
        begun = FederatedReport(run=task.run, round=task.round, samples=told, phase=phase)
        if phase > 1 and not self._secure.follows(task):
            status = Status.STATE
        if status is not Status.OK:
            self._task_state(replace(begun, state=FederatedState.REFUSED, status=status))
            return
        self._task_state(replace(begun, state=FederatedState.FETCHING))
        if phase == 1:
            self._take_update(task, self._secure.begin(task))
        elif phase:
            self._fetch_input(task)
        else:
            self._fetch_head(task)

    def _fetch_input(self, task: FederatedTask) -> None:
        """Fetch what a phase of secure aggregation needs."""
        secure = task.secure
        if secure is None or secure.input_hash is None:
            raise ValueError(f"round {task.round} has no input")
        number = object_id_of_hash(secure.input_hash)
        self._pull(
            number,
            secure.input_bytes,
            secure.input_hash,
            lambda got: self._take_input(task, got),
        )

    def _take_input(self, task: FederatedTask, got: bytes | LinkError) -> None:
        if not self._is_current(task):
            return
        if isinstance(got, LinkError):
            if got.status == Status.TIMEOUT:
                self._fetch_input(task)
            else:
                self._take_update(task, Status(got.status))
        elif _phase(task) == MASKED:
            self._handed = got
            self._fetch_head(task)
        else:
            self._start(
                lambda: self._secure.answer(task, got),
                lambda result: self._take_update(task, result),
            )

    def _learned(self, task: FederatedTask, head: bytes) -> bytes | Status:
        result = self._work.learn(task, head)
        if isinstance(result, Status) or task.secure is None:
            return result
        return self._secure.answer(task, self._handed, result)

    def _fetch_head(self, task: FederatedTask) -> None:
        # Of a head only the short name is known; its hash is proven by whoever decodes it.
        self._pull(task.head_object, task.head_bytes, None, lambda got: self._take_head(task, got))

    def _is_current(self, task: FederatedTask) -> bool:
        now = self._federated
        return (now.run, now.round, now.phase) == (task.run, task.round, _phase(task))

    def _take_head(self, task: FederatedTask, got: bytes | LinkError) -> None:
        if not self._is_current(task):
            return
        if isinstance(got, LinkError):
            if got.status == Status.TIMEOUT:
                self._fetch_head(task)  # the server ends a task, not its slowness
            else:
                self._take_update(task, Status(got.status))
            return
        self._task_state(replace(self._federated, state=FederatedState.TRAINING))
        self._start(
            lambda: self._learned(task, got), lambda result: self._take_update(task, result)
        )

    def _take_update(self, task: FederatedTask, result: bytes | Status) -> None:
        if not self._is_current(task):
            return
        if isinstance(result, Status):
            refused = replace(self._federated, state=FederatedState.REFUSED, status=result)
            self._task_state(refused)
            return
        digest = blake2b(result, digest_size=32).digest()
        number = object_id_of_hash(digest)
        self._objects[number] = result
        ready = replace(
            self._federated,
            state=FederatedState.READY,
            update_object=number,
            update_bytes=len(result),
            update_hash=digest,
        )
        self._task_state(ready)

    def _task_state(self, report: FederatedReport) -> None:
        if report == self._federated:
            return
        if report.state is not FederatedState.READY:
            self._objects.clear()
            self._store = ChunkStore(self._objects.get)
        self._federated = report
        self._note()

    # Objects and work

    def _pull(
        self,
        number: int,
        total: int,
        digest: bytes | None,
        done: Callable[[bytes | LinkError], None],
    ) -> None:
        try:
            pull = ChunkPull(object_id=number, total=total, digest=digest, now_s=self._now_s)
        except ValueError as exc:
            done(LinkError(str(exc), status=int(Status.RANGE)))
            return
        self._pulls[number] = pull, done

    def _take_chunk(self, chunk: Chunk) -> None:
        if chunk.object_id not in self._pulls:
            return
        pull, done = self._pulls[chunk.object_id]
        try:
            pull.receive(chunk, self._now_s)
            if not pull.done:
                return
            result: bytes | LinkError = pull.result()
        except LinkError as exc:
            result = exc
        del self._pulls[chunk.object_id]
        done(result)

    def _ask(self, number: int, now_s: float) -> None:
        pull, done = self._pulls[number]
        try:
            for request in pull.requests(now_s):
                self._seal(FrameType.CHUNK_REQUEST, request.encode())
        except LinkError as exc:
            del self._pulls[number]
            done(exc)

    def _start(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        job = self._submit(work)
        if job.done():
            done(job.result())
        else:
            self._jobs.append((job, done))

    # What is said

    def _note(self) -> None:
        self._report_due = True

    def _report(self, now_s: float) -> None:
        self._report_due = False
        desired, active = self._desired, self._work.active()
        heartbeat_s = HEARTBEAT_S if desired is None else desired.heartbeat_s
        self._next_report_s = now_s + heartbeat_s
        reported = Reported(
            boot=self.seals.identity.boot,
            desired_version=0 if desired is None else desired.version,
            board=self._about.board,
            firmware=self._about.firmware,
            kernel_set_hash=self._about.kernel_set_hash,
            active_image=active.image_id,
            counter=active.counter,
            update=self._installs.report,
            free=active.free,
            federated=self._federated,
            uptime_s=int(now_s - self._begun_s),
            head_hash=active.head_hash,
            skills=SKILLS,
        )
        self._seal(FrameType.REPORTED, reported.encode())

    def _seal(self, kind: FrameType, content: bytes) -> None:
        self._say(kind, self.seals.seal(kind, content))

    def _say(self, kind: FrameType, frame: bytes) -> None:
        self.outbox.append(Outgoing(CHANNEL_OF_FRAME[kind], frame, kind is FrameType.REPORTED))


def _phase(task: FederatedTask) -> int:
    return 0 if task.secure is None else task.secure.phase
