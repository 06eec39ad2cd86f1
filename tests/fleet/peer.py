"""A device in Python that speaks the protocol over UDP: a peer for tests of gateway and server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from hashlib import blake2b

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edgekit.errors import LinkError
from edgekit.fleet.identity import Token, claim_request, finish_claim
from edgekit.link.chunks import ChunkPull, ChunkStore, object_id, object_id_of_hash
from edgekit.link.frames import FrameType, decode_frame, encode_frame
from edgekit.link.messages import (
    Chunk,
    ChunkRequest,
    ClaimResponse,
    Desired,
    FederatedReport,
    FreeBytes,
    Hello,
    Message,
    Ping,
    Reported,
    UpdateReport,
)
from edgekit.link.seal import Direction, open_frame, seal_frame


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a condition, or fail."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "condition did not come true in time"
        time.sleep(0.005)


class Peer:
    """One device with a thread that answers; all of its state may be looked at."""

    def __init__(self, device: str, token: Token, port: int, *, boot: int = 1) -> None:
        self.device, self.token, self.boot = device, token, boot
        self.key: bytes | None = None
        self.desired: Desired | None = None
        self.desired_count = 0
        self.refused: list[str] = []
        self.welcomes = 0
        self.pongs = 0
        self.claim_refused = 0
        self.objects: dict[int, bytes] = {}
        self.sent: list[bytes] = []
        self._gateway = ("127.0.0.1", port)
        self._private = X25519PrivateKey.generate()
        self._sequence = 0
        self._heard = 0
        self._pull: ChunkPull | None = None
        self._store = ChunkStore(self.objects.get)
        self._lock = threading.RLock()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping = True
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.close()

    def reboot(self, port: int | None = None) -> None:
        """Start anew: a higher boot counter, nothing but the key kept."""
        with self._lock:
            self.boot += 1
            self._sequence = self._heard = 0
            self.desired, self.welcomes = None, 0
        if port is not None:
            self._gateway = ("127.0.0.1", port)

    def join(self) -> None:
        """Say hello until welcomed, claim until there is a key."""
        self.hello()
        if self.key is None:
            deadline_s = time.monotonic() + 10.0
            while self.key is None:
                assert time.monotonic() < deadline_s, "device was not claimed in time"
                self.claim()
                time.sleep(0.05)

    def hello(self) -> None:
        deadline_s = time.monotonic() + 10.0
        while not self.welcomes:
            assert time.monotonic() < deadline_s, "gateway did not answer in time"
            self.plain(FrameType.HELLO, Hello(self.device, self.boot))
            time.sleep(0.02)

    def claim(self) -> None:
        public = self._private.public_key().public_bytes_raw()
        self.plain(FrameType.CLAIM_REQUEST, claim_request(self.token, self.device, public))

    def ping(self) -> None:
        self.plain(FrameType.PING, Ping(self.boot))

    def plain(self, kind: FrameType, message: Message) -> None:
        self.raw(encode_frame(kind, message.encode()))

    def raw(self, datagram: bytes) -> None:
        self._socket.sendto(datagram, self._gateway)

    def seal(self, kind: FrameType, content: bytes) -> bytes:
        assert self.key is not None
        with self._lock:
            self._sequence += 1
            counter = self.boot << 32 | self._sequence
            frame = seal_frame(self.key, Direction.TO_SERVER, kind, content, counter)
            self.sent.append(frame)
        return frame

    def send(self, kind: FrameType, content: bytes) -> None:
        with self._lock:
            self.raw(self.seal(kind, content))

    def reported(self, **changes: object) -> Reported:
        values: dict[str, object] = {
            "boot": self.boot,
            "desired_version": self.desired.version if self.desired else 0,
            "board": "host",
            "firmware": "0.0.1",
            "kernel_set_hash": bytes(8),
            "active_image": None,
            "counter": 0,
            "update": UpdateReport(),
            "free": FreeBytes(1_000, 2_000),
            "federated": FederatedReport(),
            "uptime_s": int(time.monotonic()) % 1_000,
            "head_hash": None,
            "skills": ("codecs",),
        }
        return Reported(**{**values, **changes})  # type: ignore[arg-type]

    def report(self, **changes: object) -> None:
        self.send(FrameType.REPORTED, self.reported(**changes).encode())

    def offer(self, data: bytes) -> tuple[int, bytes]:
        """Hold an object; return its id and hash."""
        number = object_id(data)
        self.objects[number] = data
        return number, blake2b(data, digest_size=32).digest()

    def download(self, digest: bytes, total: int, timeout_s: float = 20.0) -> bytes:
        number = object_id_of_hash(digest)
        pull = ChunkPull(object_id=number, total=total, digest=digest, now_s=time.monotonic())
        with self._lock:
            self._pull = pull
            self._ask()
        wait_until(lambda: pull.done, timeout_s)
        return pull.result()

    def _ask(self) -> None:
        if self._pull is not None:
            for request in self._pull.requests(time.monotonic()):
                self.send(FrameType.CHUNK_REQUEST, request.encode())

    def _run(self) -> None:
        while not self._stopping:
            try:
                data = self._socket.recv(5_000)
            except TimeoutError:
                with self._lock:
                    self._ask()
                continue
            try:
                with self._lock:
                    self._take(data)
            except LinkError as exc:
                self.refused.append(str(exc))

    def _take(self, data: bytes) -> None:
        frame = decode_frame(data)
        if frame.type is FrameType.WELCOME:
            self.welcomes += 1
        elif frame.type is FrameType.PONG:
            self.pongs += 1
        elif frame.type is FrameType.CLAIM_RESPONSE:
            response = ClaimResponse.decode(frame.body)
            self.key = finish_claim(self.token, self.device, self._private, response).device_key
        elif self.key is not None:
            sealed = open_frame(self.key, Direction.TO_DEVICE, frame, after=self._heard)
            if sealed.boot != self.boot:
                self.refused.append(f"boot {sealed.boot}")
                return
            self._heard = sealed.counter
            if sealed.type is FrameType.DESIRED:
                self.desired = Desired.decode(sealed.content)
                self.desired_count += 1
            elif sealed.type is FrameType.CHUNK and self._pull is not None:
                self._pull.receive(Chunk.decode(sealed.content))
                self._ask()
            elif sealed.type is FrameType.CHUNK_REQUEST:
                chunk = self._store.answer(ChunkRequest.decode(sealed.content))
                self.send(FrameType.CHUNK, chunk.encode())
