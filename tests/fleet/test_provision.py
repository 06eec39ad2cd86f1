"""The provisioning page is what PROTOCOL.md says, byte by byte, and nothing else is read."""

from __future__ import annotations

import zlib

import pytest

from edgekit.errors import FormatError
from edgekit.fleet.provision import PAGE_BYTES, Mode, Provision

PAGE = Provision(
    device="board-1",
    gateway_host="10.0.2.2",
    gateway_port=5_690,
    token_id=b"T" * 8,
    token_secret=b"S" * 32,
    release_key=b"R" * 32,
    entropy=b"E" * 32,
)


def test_page_has_its_fields_at_their_offsets() -> None:
    page = PAGE.encode()
    assert len(page) == PAGE_BYTES
    assert page[:8] == b"EKPV\x01\x00\x00\x00"
    assert page[8:40] == b"board-1".ljust(32, b"\x00")
    assert page[40:48] == bytes([10, 0, 2, 2]) + (5_690).to_bytes(2, "little") + b"\x00\x00"
    assert page[48:152] == b"T" * 8 + b"S" * 32 + b"R" * 32 + b"E" * 32
    assert page[152:252] == bytes(100)
    assert page[252:] == zlib.crc32(page[:252]).to_bytes(4, "little")


@pytest.mark.parametrize("mode", Mode)
def test_page_comes_back(mode: Mode) -> None:
    page = Provision(mode=mode, device="a" * 32, gateway_host="127.0.0.1", gateway_port=1)
    assert Provision.decode(page.encode()) == page
    assert b"S" * 32 not in repr(PAGE).encode()


def test_page_refuses_each_flipped_byte_and_each_cut() -> None:
    page = PAGE.encode()
    for at in range(len(page)):
        with pytest.raises(FormatError):
            Provision.decode(page[:at] + bytes([page[at] ^ 4]) + page[at + 1 :])
        with pytest.raises(FormatError):
            Provision.decode(page[:at])


@pytest.mark.parametrize(
    "change",
    [
        {"device": "Board"},
        {"device": "a" * 33},
        {"gateway_port": 65_536},
        {"gateway_host": "localhost"},
        {"token_id": b"short"},
        {"entropy": b""},
    ],
)
def test_page_with_a_field_out_of_range_is_not_written(change: dict[str, object]) -> None:
    values: dict[str, object] = {"device": "a", "gateway_host": "1.2.3.4", "gateway_port": 1}
    with pytest.raises(ValueError):
        Provision(**{**values, **change}).encode()  # type: ignore[arg-type]
