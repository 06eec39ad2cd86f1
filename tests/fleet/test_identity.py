"""Claiming gives both ends one key, once; counters and secrets are durable."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from edgekit.errors import ConfigError, SecurityError, StoreError
from edgekit.fleet.identity import (
    Token,
    answer_claim,
    claim_request,
    claim_response,
    finish_claim,
    new_token,
)
from edgekit.fleet.store import COUNTER_BLOCK, FleetStore, write_credentials
from edgekit.link.messages import ClaimRequest, ClaimResponse

PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()


def test_both_ends_agree_on_a_key() -> None:
    token = new_token()
    claim = answer_claim(token, "a", claim_request(token, "a", PUBLIC), None)
    ours = finish_claim(token, "a", PRIVATE, claim_response(token, "a", claim))
    assert ours == claim
    assert len(claim.device_key) == 32


def test_claim_follows_the_formulas_of_the_protocol() -> None:
    token = Token(b"i" * 8, b"s" * 32)
    request = claim_request(token, "dev", PUBLIC)
    assert request.mac == _keyed(16, b"ek-claim-request" + b"dev" + PUBLIC)
    claim = answer_claim(token, "dev", request, None)
    shared = PRIVATE.exchange(X25519PublicKey.from_public_bytes(claim.server_public))
    assert claim.device_key == _keyed(32, b"ek-device-key" + shared + PUBLIC + claim.server_public)
    response = claim_response(token, "dev", claim)
    assert response.mac == _keyed(16, b"ek-claim-response" + b"dev" + PUBLIC + claim.server_public)


def _keyed(length: int, data: bytes) -> bytes:
    return blake2b(data, key=b"s" * 32, digest_size=length).digest()


def test_same_key_gets_the_same_answer_and_another_none() -> None:
    token = new_token()
    request = claim_request(token, "a", PUBLIC)
    claim = answer_claim(token, "a", request, None)
    assert answer_claim(token, "a", request, claim) == claim
    other = X25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(SecurityError, match="another key"):
        answer_claim(token, "a", claim_request(token, "a", other), claim)


def test_forged_request_is_refused() -> None:
    token = new_token()
    request = claim_request(token, "a", PUBLIC)
    for bent in (
        ClaimRequest(token_id=token.id, public_key=PUBLIC, mac=bytes(16)),
        ClaimRequest(token_id=token.id, public_key=bytes(32), mac=request.mac),
        claim_request(Token(token.id, bytes(32)), "a", PUBLIC),
        claim_request(token, "b", PUBLIC),
    ):
        with pytest.raises(SecurityError, match="does not verify"):
            answer_claim(token, "a", bent, None)


def test_key_of_low_order_is_refused() -> None:
    token = new_token()
    with pytest.raises(SecurityError, match="low order"):
        answer_claim(token, "a", claim_request(token, "a", bytes(32)), None)


def test_forged_answer_is_refused_by_the_device() -> None:
    token = new_token()
    claim = answer_claim(token, "a", claim_request(token, "a", PUBLIC), None)
    with pytest.raises(SecurityError, match="does not verify"):
        finish_claim(token, "a", PRIVATE, ClaimResponse(claim.server_public, bytes(16)))


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    with FleetStore.open(tmp_path, fleet="f") as store:
        record = store.add_device("a", "host")
        claim = answer_claim(record.token, "a", claim_request(record.token, "a", PUBLIC), None)
        store.bind("a", claim)
        text = repr(store.device("a")) + repr(claim) + repr(record.token)
    for secret in (record.token.secret, claim.device_key, record.password.encode()):
        assert repr(secret)[2:-1] not in text
        assert secret.hex() not in text


def test_store_keeps_tokens_keys_and_counters(tmp_path: Path) -> None:
    with FleetStore.open(tmp_path, fleet="f") as store:
        record = store.add_device("a", "host")
        claim = answer_claim(record.token, "a", claim_request(record.token, "a", PUBLIC), None)
        store.bind("a", claim)
        store.save_heard({"a": 0xFFFFFFFF_FFFFFFFE})
        store.save_heard({}, {"a": (b"content", 12.5)})
        store.add_offer(2**64 - 1, "ab")
        password = store.server_password()
    with FleetStore.open(tmp_path) as store:
        again = store.device("a")
        assert again is not None
        assert again.claim == claim
        assert again.heard_counter == 0xFFFFFFFF_FFFFFFFE
        assert (again.reported, again.reported_s) == (b"content", 12.5)
        assert store.offer(2**64 - 1) == "ab"
        assert store.offer(1) is None
        assert store.server_password() == password
        assert store.fleet == "f"


def test_server_counters_are_never_given_out_twice(tmp_path: Path) -> None:
    seen: set[int] = set()
    for _ in range(3):
        with FleetStore.open(tmp_path, fleet="f") as store:
            if store.device("a") is None:
                store.add_device("a", "host")
            block = store.reserve_counters(["a"])["a"]
            assert len(block) == COUNTER_BLOCK
            assert block[0] >= 1
            assert not seen & set(block)
            assert not seen or block[0] > max(seen)
            seen |= set(block)


def test_revoked_device_has_neither_key_nor_password(tmp_path: Path) -> None:
    with FleetStore.open(tmp_path, fleet="f") as store:
        store.add_device("a", "host")
        store.add_device("b", "host")
        store.revoke("a")
        assert set(store.passwords()) == {"server", "b"}
        record = store.device("a")
        assert record is not None
        assert (record.revoked, record.claim, record.password) == (True, None, "")
        write_credentials(store, tmp_path / "credentials.json")
        assert "server" not in (tmp_path / "credentials.json").read_text()
        with pytest.raises(ConfigError, match="'x' is not in fleet 'f'"):
            store.revoke("x")


@pytest.mark.parametrize("name", ["server", "A", "a/b", "", "a" * 33, "+"])
def test_device_name_that_is_not_an_id_is_refused(tmp_path: Path, name: str) -> None:
    with FleetStore.open(tmp_path, fleet="f") as store, pytest.raises(ConfigError):
        store.add_device(name, "host")


def test_store_of_another_fleet_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no fleet"):
        FleetStore.open(tmp_path)
    FleetStore.open(tmp_path, fleet="f").close()
    with pytest.raises(ConfigError, match="belongs to fleet 'f', not 'g'"):
        FleetStore.open(tmp_path, fleet="g")
    with pytest.raises(ConfigError, match="fleet name"):
        FleetStore.open(tmp_path / "other", fleet="a b")


def test_broken_store_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "keys/fleet.db"
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but as long as one may well be" * 50)
    with pytest.raises(StoreError, match="cannot open"):
        FleetStore.open(tmp_path, fleet="f")
