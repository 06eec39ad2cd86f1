"""The protocol of the Python agent, without broker: claims, releases, tasks, refusals."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.agent.client import About, Client
from edgekit.agent.seals import Identity
from edgekit.agent.work import Active, Practised
from edgekit.errors import LinkError, SecurityError
from edgekit.fleet.identity import Token, answer_claim, claim_response
from edgekit.fleet.manifests import (
    ReleaseKey,
    block_list,
    build_manifest,
    release_key,
    sign_manifest,
)
from edgekit.link.chunks import ChunkStore, object_id
from edgekit.link.frames import FrameType, decode_frame, encode_frame
from edgekit.link.messages import (
    ChunkRequest,
    ClaimRequest,
    Desired,
    FederatedState,
    FederatedTask,
    Learning,
    Manifest,
    Reported,
    SignedManifest,
    TextAnswer,
    UpdateState,
)
from edgekit.link.seal import Direction, open_frame, seal_frame
from edgekit.link.status import Status

TOKEN = Token(b"12345678", b"s" * 32)
KERNELS = b"k" * 8
IMAGE = np.random.default_rng(0).bytes(10_000)


class Recorder:
    """Work that accepts all, and remembers."""

    def __init__(self) -> None:
        self.now = Active()
        self.learned: list[bytes] = []

    def active(self) -> Active:
        return self.now

    def activate(self, manifest: Manifest, image: bytes | None) -> Status:
        self.now = Active(image_id=manifest.image_id, counter=manifest.counter)
        return Status.OK

    def check(self, task: FederatedTask) -> tuple[Status, int]:
        return (Status.OK, 7) if task.epochs < 100 else (Status.RANGE, 0)

    def learn(self, task: FederatedTask, head: bytes) -> bytes | Status:
        self.learned.append(head)
        return b"update of round %d" % task.round

    def practise(self, wish: Learning | None, steps: int) -> Practised:
        return Practised((), goes_on=wish is not None)

    def answer(self, number: int, text: bytes) -> bytes:
        return TextAnswer(number=number, status=Status.STATE).encode()


class Server:
    """The other end: claims, seals, objects on offer."""

    def __init__(self, tmp_path: Path) -> None:
        self.key = b""
        self.work = Recorder()
        self.release: ReleaseKey = release_key(tmp_path)
        self.offers: dict[int, bytes] = {}
        self.reports: list[Reported] = []
        self.chunks: list[bytes] = []
        self.now_s, self._counter, self._version = 100.0, 0, 0
        self.client = Client(
            Identity(device="a", token=TOKEN, boot=3, private=bytes(range(32))),
            About("host", "test", KERNELS, self.release.public),
            self.work,
            submit=_at_once,
            now_s=self.now_s,
        )

    def claim(self) -> None:
        self.client.connected(self.now_s)
        self.settle()

    def wish(self, model: SignedManifest | None = None, task: FederatedTask | None = None) -> None:
        self._version += 1
        desired = Desired(
            version=self._version, time_s=1_000, model=model, task=task, heartbeat_s=5
        )
        self.say(FrameType.DESIRED, desired.encode())
        self.settle()

    def say(self, kind: FrameType, content: bytes, *, boot: int = 3) -> None:
        self._counter += 1
        self.client.take(self.frame(kind, content, boot << 32 | self._counter), self.now_s)

    def frame(self, kind: FrameType, content: bytes, counter: int) -> bytes:
        return seal_frame(self.key, Direction.TO_DEVICE, kind, content, counter)

    def settle(self) -> None:
        """Answer all that the client says, until it is quiet."""
        while self.client.outbox:
            frame = decode_frame(self.client.outbox.popleft().frame)
            if frame.type is FrameType.CLAIM_REQUEST:
                claim = answer_claim(TOKEN, "a", ClaimRequest.decode(frame.body), None)
                self.key = claim.device_key
                response = claim_response(TOKEN, "a", claim).encode()
                self.client.take(encode_frame(FrameType.CLAIM_RESPONSE, response), self.now_s)
                continue
            sealed = open_frame(self.key, Direction.TO_SERVER, frame, after=0)
            if sealed.type is FrameType.REPORTED:
                self.reports.append(Reported.decode(sealed.content))
            elif sealed.type is FrameType.CHUNK:
                self.chunks.append(sealed.content)
            elif sealed.type is not FrameType.LOG:
                chunk = ChunkStore(self.offers.get).answer(ChunkRequest.decode(sealed.content))
                self.say(FrameType.CHUNK, chunk.encode())

    def offer(self, data: bytes) -> int:
        self.offers[object_id(data)] = data
        return object_id(data)

    def signed(self, image: bytes = IMAGE, **changes: object) -> SignedManifest:
        self.offer(image)
        self.offer(block_list(image))
        manifest = build_manifest(
            image,
            name="m",
            version="1",
            counter=1,
            device_class="host",
            kernel_set_hash=KERNELS,
            arena_bytes=1,
            expiry_s=2_000,
        )
        return sign_manifest(replace(manifest, **changes), self.release)  # type: ignore[arg-type]


def _at_once(work: object) -> Future[bytes | Status]:
    done: Future[bytes | Status] = Future()
    done.set_result(work())  # type: ignore[operator]
    return done


@pytest.fixture
def server(tmp_path: Path) -> Server:
    made = Server(tmp_path)
    made.claim()
    return made


def task(server: Server, head: bytes = b"head", **changes: object) -> FederatedTask:
    values: dict[str, object] = {
        "run": 1,
        "round": 1,
        "base_head_hash": bytes(32),
        "head_object": server.offer(head),
        "head_bytes": len(head),
        "epochs": 1,
        "rate": 0.5,
        "decay": 0.0,
        "deadline_s": 60,
    }
    return FederatedTask(**(values | changes))  # type: ignore[arg-type]


def test_claim_gives_the_key_and_the_first_report(server: Server) -> None:
    assert server.client.seals.key == server.key != b""
    assert server.reports[-1].boot == 3
    before = len(server.reports)
    server.now_s += 16
    server.client.tick(server.now_s)
    server.settle()
    assert len(server.reports) == before + 1  # the heartbeat


def test_release_is_pulled_proven_and_reported(server: Server) -> None:
    server.wish(model=server.signed())
    assert server.work.now.image_id == hashlib.blake2b(IMAGE, digest_size=32).digest()
    assert server.reports[-1].update.state is UpdateState.INSTALLED
    server.wish(model=server.signed(counter=2))  # the same image: nothing to pull
    assert server.reports[-1].counter == 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"device_class": "other"}, Status.CLASS),
        ({"kernel_set_hash": bytes(8)}, Status.CLASS),
        ({"expiry_s": 1_000}, Status.EXPIRED),
        ({"blocks_hash": bytes(32)}, Status.STATE),
        ({"image_bytes": 9_999}, Status.RANGE),
    ],
)
def test_release_that_is_not_for_it_is_refused(
    server: Server, changes: dict[str, object], status: Status
) -> None:
    server.wish(model=server.signed(**changes))
    update = server.reports[-1].update
    assert (update.state, update.status) == (UpdateState.REFUSED, status)
    assert server.work.now.image_id is None


def test_old_and_forged_releases_are_refused(server: Server) -> None:
    server.wish(model=server.signed(counter=5))
    server.wish(model=server.signed(IMAGE[::-1], counter=5))
    assert server.reports[-1].update.status is Status.COUNTER
    signed = server.signed(counter=6)
    server.wish(model=replace(signed, signature=bytes(64)))
    assert server.reports[-1].update.status is Status.SIGNATURE
    assert server.work.now.counter == 5


def test_task_is_done_once_and_its_update_held_ready(server: Server) -> None:
    server.wish(task=task(server))
    report = server.reports[-1].federated
    assert (report.state, report.samples) == (FederatedState.READY, 7)
    assert server.work.learned == [b"head"]
    server.wish(task=task(server))  # said again after a restart of the server
    assert server.work.learned == [b"head"]
    request = ChunkRequest(report.update_object, 0, 100)
    server.say(FrameType.CHUNK_REQUEST, request.encode())
    server.settle()
    assert server.chunks[-1].endswith(b"update of round 1")
    server.wish()
    assert server.reports[-1].federated.state is FederatedState.IDLE


def test_task_that_cannot_be_done_is_refused(server: Server) -> None:
    server.wish(task=task(server, epochs=100))
    report = server.reports[-1].federated
    assert (report.state, report.status) == (FederatedState.REFUSED, Status.RANGE)
    unknown = task(server, round=2, head_object=1)
    server.wish(task=unknown)
    assert server.reports[-1].federated.status is Status.STATE


def test_forged_old_and_foreign_frames_are_refused(server: Server) -> None:
    desired = Desired(version=9, time_s=1, model=None, task=None, heartbeat_s=5).encode()
    good = server.frame(FrameType.DESIRED, desired, 3 << 32 | 50)
    with pytest.raises(LinkError, match="does not verify"):
        _forged(server, desired)
    server.client.take(good, server.now_s)
    with pytest.raises(LinkError, match="expected more than"):
        server.client.take(good, server.now_s)
    with pytest.raises(LinkError, match="is for boot 4, this is 3"):
        server.say(FrameType.DESIRED, desired, boot=4)


def _forged(server: Server, content: bytes) -> None:
    key, server.key = server.key, bytes(32)
    try:
        server.say(FrameType.DESIRED, content)
    finally:
        server.key = key


def test_answer_to_a_claim_that_is_not_the_servers_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.client.connected(server.now_s)
    request = ClaimRequest.decode(decode_frame(server.client.outbox[0].frame).body)
    claim = answer_claim(TOKEN, "a", request, None)
    other = Token(TOKEN.id, bytes(32))
    response = claim_response(other, "a", claim).encode()
    with pytest.raises(SecurityError, match="does not verify"):
        server.client.take(encode_frame(FrameType.CLAIM_RESPONSE, response), server.now_s)
    assert server.client.seals.key is None


def test_head_that_is_slow_to_come_is_asked_for_again(server: Server) -> None:
    offers, server.offers = server.offers, {}
    wanted = task(server)
    server.offers.clear()
    head, server.offers = b"head", offers
    server._version += 1
    desired = Desired(
        version=server._version, time_s=1, model=None, task=wanted, heartbeat_s=5
    ).encode()
    server.say(FrameType.DESIRED, desired)
    server.client.outbox.clear()  # lost on the way
    server.now_s += 100.0
    server.client.tick(server.now_s)  # its time is up: from the start again
    server.offer(head)
    server.client.tick(server.now_s)
    server.settle()
    assert server.work.learned == [head]
