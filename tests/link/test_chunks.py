"""Pulling an object survives loss, repetition, disorder and short answers."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest

from edgekit.errors import LinkError
from edgekit.link.chunks import (
    RETRY_S,
    WINDOW,
    ChunkPull,
    ChunkStore,
    object_id,
    transfer_deadline_s,
)
from edgekit.link.messages import Chunk, ChunkRequest
from edgekit.link.status import Status

DATA = np.random.default_rng(5).bytes(50_003)
DIGEST = blake2b(DATA, digest_size=32).digest()


def _pull(data: bytes = DATA, **options: int) -> ChunkPull:
    return ChunkPull(
        object_id=object_id(data),
        total=len(data),
        digest=blake2b(data, digest_size=32).digest(),
        now_s=0.0,
        **options,
    )


def _store(data: bytes = DATA) -> ChunkStore:
    return ChunkStore({object_id(data): data}.get)


@pytest.mark.parametrize("size", [1, 4_095, 4_096, 4_097, 16_384, 50_003])
def test_object_of_any_size_arrives(size: int) -> None:
    data = DATA[:size]
    pull, store = _pull(data), _store(data)
    while not pull.done:
        requests = pull.requests(0.0)
        assert 1 <= len(requests) <= WINDOW
        for request in requests:
            pull.receive(store.answer(request))
    assert pull.result() == data
    assert pull.requests(0.0) == []


@pytest.mark.parametrize("seed", range(8))
def test_object_arrives_over_a_bad_link(seed: int) -> None:
    """30 % of the answers are lost, some come twice, all in any order, of any length."""
    rng = np.random.default_rng(seed)
    pull, store, now_s = _pull(), _store(), 0.0
    flying: list[Chunk] = []
    while not pull.done:
        now_s += 0.05
        for request in pull.requests(now_s):
            if rng.random() > 0.3:
                chunk = store.answer(request)
                length = int(rng.integers(1_000, 4_097))
                short = Chunk(chunk.object_id, chunk.offset, chunk.total, chunk.data[:length])
                flying += [short] * int(rng.integers(1, 3))
        rng.shuffle(flying)  # type: ignore[arg-type]
        for _ in range(min(3, len(flying))):
            pull.receive(flying.pop())
    assert pull.result() == DATA


def test_request_is_repeated_when_its_time_is_up_and_not_before() -> None:
    pull = _pull()
    first = pull.requests(0.0)
    assert pull.requests(RETRY_S * 0.9) == []
    assert pull.next_due_s() == RETRY_S
    assert pull.requests(RETRY_S) == first
    assert pull.requests(RETRY_S * 2.9) == []
    assert pull.requests(RETRY_S * 3.1) == first


def test_silence_ends_with_a_timeout() -> None:
    pull = _pull()
    with pytest.raises(LinkError) as caught:
        pull.requests(transfer_deadline_s(len(DATA)) + 0.1)
    assert caught.value.status == Status.TIMEOUT


def test_what_comes_slowly_is_waited_for() -> None:
    """A thousand devices that fetch at once, with a slow server, share what it can do.

    With a fixed deadline they all began anew when it was reached, and none ever came to its end.
    """
    pull, store, now_s = _pull(), _store(), 0.0
    while not pull.done:
        now_s += 20.0
        for request in pull.requests(now_s)[:1]:
            pull.receive(store.answer(request), now_s)
    assert now_s > 2 * transfer_deadline_s(len(DATA))
    assert pull.result() == DATA


def test_silence_behind_the_deadline_ends_with_a_timeout() -> None:
    pull, store, begin_s = _pull(), _store(), transfer_deadline_s(len(DATA))
    pull.receive(store.answer(pull.requests(begin_s)[0]), begin_s)
    assert begin_s < pull.next_due_s()
    pull.requests(begin_s + 29.0)
    with pytest.raises(LinkError) as caught:
        pull.requests(begin_s + 31.0)
    assert caught.value.status == Status.TIMEOUT


def test_short_answers_make_shorter_requests() -> None:
    pull, store = _pull(), _store()
    request = pull.requests(0.0)[0]
    whole = store.answer(request)
    pull.receive(Chunk(whole.object_id, whole.offset, whole.total, whole.data[:1_024]))
    assert pull.requests(0.0) == [ChunkRequest(request.object_id, 1_024, 1_024)]


def test_chunk_that_was_not_asked_for_changes_nothing() -> None:
    pull, store = _pull(), _store()
    requests = pull.requests(0.0)
    pull.receive(store.answer(ChunkRequest(object_id(DATA), 40_960, 4_096)))
    pull.receive(Chunk(1, 0, len(DATA), b"other object"))
    while not pull.done:
        for request in requests:
            pull.receive(store.answer(request))
        requests = pull.requests(0.0)
    assert pull.result() == DATA


@pytest.mark.parametrize(
    ("chunk", "status"),
    [
        (Chunk(object_id(DATA), 0, 0, b""), Status.STATE),
        (Chunk(object_id(DATA), 0, len(DATA) + 1, b"x" * 4_096), Status.RANGE),
    ],
)
def test_answer_about_another_object_is_refused(chunk: Chunk, status: Status) -> None:
    pull = _pull()
    pull.requests(0.0)
    with pytest.raises(LinkError) as caught:
        pull.receive(chunk)
    assert caught.value.status == status


def test_forged_bytes_are_found_out() -> None:
    pull, store = _pull(), _store()
    while not pull.done:
        for request in pull.requests(0.0):
            chunk = store.answer(request)
            data = chunk.data if chunk.offset else b"!" + chunk.data[1:]
            pull.receive(Chunk(chunk.object_id, chunk.offset, chunk.total, data))
    with pytest.raises(LinkError) as caught:
        pull.result()
    assert caught.value.status == Status.HASH


def test_store_does_not_answer_behind_the_end_and_says_what_it_does_not_know() -> None:
    store = _store()
    with pytest.raises(LinkError):
        store.answer(ChunkRequest(object_id(DATA), len(DATA), 1))
    assert store.answer(ChunkRequest(1, 0, 1)) == Chunk(1, 0, 0, b"")
    last = store.answer(ChunkRequest(object_id(DATA), len(DATA) - 1, 4_096))
    assert last.data == DATA[-1:]
