"""A gateway and server in one, for one agent: runs in the test's thread and can be unkind."""

from __future__ import annotations

import random
import secrets
import socket
import time
from collections.abc import Callable
from hashlib import blake2b

from edgekit.fleet.identity import Claim, Token, answer_claim, claim_response, new_token
from edgekit.fleet.provision import Provision
from edgekit.link.chunks import ChunkPull, ChunkStore, object_id
from edgekit.link.frames import SEALED_TYPES, Frame, FrameType, decode_frame, encode_frame
from edgekit.link.messages import (
    Chunk,
    ChunkRequest,
    ClaimRequest,
    Desired,
    FederatedTask,
    Hello,
    Learning,
    Log,
    Ping,
    Pong,
    Reported,
    SignedManifest,
    Telemetry,
    TextAnswer,
    Welcome,
)
from edgekit.link.seal import Direction, open_frame, seal_frame

DEVICE = "lone-agent_1"


class LoneServer:
    """Speaks for gateway and server; `wait` runs it until something is true.

    Attributes:
        loss: Share of datagrams that vanish, each way.
        requests: Every chunk request heard.
    """

    def __init__(self, *, seed: int = 1, gateway_host: str = "127.0.0.1") -> None:
        self._gateway_host = gateway_host
        self.token: Token = new_token()
        self.claim: Claim | None = None
        self.claims = 0
        self.boot = 0
        self.reported: Reported | None = None
        self.reports: list[Reported] = []
        self.logs: list[Log] = []
        self.answers: list[TextAnswer] = []
        self.telemetry: Telemetry | None = None
        self.requests: list[ChunkRequest] = []
        self.objects: dict[int, bytes] = {}
        self.loss = 0.0
        self.time_s = 1_800_000_000
        self.last_frame = b""
        self._version = 0
        self._last_counter = 0
        self._sequence = 0
        self._generator = random.Random(seed)
        self._store = ChunkStore(self.objects.get)
        self._pull: ChunkPull | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._agent: tuple[str, int] | None = None

    def close(self) -> None:
        """Free the port."""
        self._socket.close()

    def provision(self, release_key: bytes) -> bytes:
        """The page of the agent."""
        return Provision(
            device=DEVICE,
            gateway_host=self._gateway_host,
            gateway_port=self._socket.getsockname()[1],
            token_id=self.token.id,
            token_secret=self.token.secret,
            release_key=release_key,
            entropy=secrets.token_bytes(32),
        ).encode()

    def wait(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Serve until the condition is true."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"in vain; last report {self.reported}"
            self._turn()

    def serve(self, seconds: float) -> None:
        """Serve for a while."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._turn()

    def offer(self, data: bytes) -> int:
        """Let the agent pull an object."""
        number = object_id(data)
        self.objects[number] = data
        return number

    def desire(
        self,
        model: SignedManifest | None = None,
        task: FederatedTask | None = None,
        heartbeat_s: int = 1,
        learning: Learning | None = None,
    ) -> int:
        """Send a desired document; returns its version."""
        self._version += 1
        desired = Desired(
            version=self._version,
            time_s=self.time_s,
            model=model,
            task=task,
            heartbeat_s=heartbeat_s,
            learning=learning,
        )
        self.send(FrameType.DESIRED, desired.encode())
        return self._version

    def pull(self, number: int, total: int, digest: bytes) -> bytes:
        """Fetch an object from the agent."""
        self._pull = ChunkPull(object_id=number, total=total, digest=digest, now_s=time.monotonic())
        self.wait(lambda: self._pull is not None and self._pull.done)
        data = self._pull.result()
        self._pull = None
        return data

    def send(self, kind: FrameType, content: bytes, *, key: bytes | None = None) -> None:
        """Send a sealed message, with another key if one is given."""
        assert self.claim is not None
        self._sequence += 1
        counter = self.boot << 32 | self._sequence
        use = self.claim.device_key if key is None else key
        frame = seal_frame(use, Direction.TO_DEVICE, kind, content, counter)
        self.last_frame = frame
        self.raw(frame)

    def raw(self, frame: bytes) -> None:
        """Send bytes as they are, if the link lets them through."""
        assert self._agent is not None
        if self._generator.random() >= self.loss:
            self._socket.sendto(frame, self._agent)

    def _turn(self) -> None:
        if self._pull is not None:
            for request in self._pull.requests(time.monotonic()):
                self.send(FrameType.CHUNK_REQUEST, request.encode())
        self._socket.settimeout(0.02)
        try:
            datagram, self._agent = self._socket.recvfrom(8_192)
        except TimeoutError:
            return
        if self._generator.random() >= self.loss:
            self._take(decode_frame(datagram))

    def _take(self, frame: Frame) -> None:
        if frame.type in SEALED_TYPES:
            self._take_sealed(frame)
        elif frame.type is FrameType.HELLO:
            hello = Hello.decode(frame.body)
            assert hello.device == DEVICE
            assert hello.boot >= self.boot
            if hello.boot > self.boot:
                self.boot, self._sequence = hello.boot, 0
            self.raw(encode_frame(FrameType.WELCOME, Welcome(hello.boot).encode()))
        elif frame.type is FrameType.PING:
            self.raw(encode_frame(FrameType.PONG, Pong(Ping.decode(frame.body).boot).encode()))
        else:
            assert frame.type is FrameType.CLAIM_REQUEST
            self.claims += 1
            request = ClaimRequest.decode(frame.body)
            self.claim = answer_claim(self.token, DEVICE, request, self.claim)
            answer = claim_response(self.token, DEVICE, self.claim)
            self.raw(encode_frame(FrameType.CLAIM_RESPONSE, answer.encode()))

    def _take_sealed(self, frame: Frame) -> None:
        assert self.claim is not None
        sealed = open_frame(
            self.claim.device_key, Direction.TO_SERVER, frame, after=self._last_counter
        )
        self._last_counter = sealed.counter
        assert sealed.boot == self.boot
        match frame.type:
            case FrameType.REPORTED:
                self.reported = Reported.decode(sealed.content)
                self.reports.append(self.reported)
            case FrameType.CHUNK_REQUEST:
                request = ChunkRequest.decode(sealed.content)
                self.requests.append(request)
                self.send(FrameType.CHUNK, self._store.answer(request).encode())
            case FrameType.CHUNK:
                if self._pull is not None:
                    self._pull.receive(Chunk.decode(sealed.content))
            case FrameType.TEXT_ANSWER:
                self.answers.append(TextAnswer.decode(sealed.content))
            case FrameType.LOG:
                self.logs.append(Log.decode(sealed.content))
            case _:
                assert frame.type is FrameType.TELEMETRY
                self.telemetry = Telemetry.decode(sealed.content)


def hash_of(data: bytes) -> bytes:
    """BLAKE2b-256."""
    return blake2b(data, digest_size=32).digest()
