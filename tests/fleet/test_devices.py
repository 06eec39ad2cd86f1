"""Presence is read strictly, and events say only what is news."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import LinkError
from edgekit.fleet.devices import (
    Presence,
    PresenceReport,
    is_news,
    reported_body,
    task_body,
    task_from_body,
)
from edgekit.journal.schema import check_body
from edgekit.link.messages import (
    FederatedReport,
    FederatedTask,
    FreeBytes,
    Reported,
    UpdateReport,
)

REPORTED = Reported(
    boot=1,
    desired_version=0,
    board="host",
    firmware="0.1.0",
    kernel_set_hash=bytes(8),
    active_image=None,
    counter=0,
    update=UpdateReport(),
    free=FreeBytes(1, 2),
    federated=FederatedReport(run=2**64 - 1),
    uptime_s=5,
    head_hash=None,
)


@pytest.mark.parametrize("state", ["online", "offline", "lost"])
def test_presence_travels_unchanged(state: str) -> None:
    report = PresenceReport(7, Presence(state))
    assert PresenceReport.decode(report.encode()) == report


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"boot": 1}',
        b'{"boot": 1, "state": "unknown"}',
        b'{"boot": true, "state": "online"}',
        b'{"boot": -1, "state": "online"}',
        b'{"boot": 4294967296, "state": "online"}',
        b'{"boot": 1, "state": "online", "more": 1}',
        b'{"boot": 1, "state": []}',
        b"[" * 5_000,
        b"\xff",
    ],
)
def test_presence_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(LinkError):
        PresenceReport.decode(data)


@given(st.binary(max_size=100) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_presence_or_a_link_error(data: bytes) -> None:
    try:
        PresenceReport.decode(data)
    except LinkError:
        return


def test_event_of_a_report_fits_the_schema_and_uptime_is_no_news() -> None:
    body = reported_body("a", REPORTED)
    check_body("device.reported", body, has_blob=False)
    assert is_news(body, None)
    assert not is_news({**body, "uptime_s": 99}, body)
    assert is_news({**body, "boot": 2}, body)
    assert "battery_mv" not in body and "sensors" not in body
    charged = reported_body("d1", dataclasses.replace(REPORTED, battery_mv=3_700, sensors=("x",)))
    assert charged["sensors"] == ["x"] and is_news(charged, body) and is_news(body, charged)
    assert not is_news({**charged, "battery_mv": 3_690}, charged)
    assert is_news({**charged, "battery_mv": 3_600}, charged)


def test_task_comes_back_from_its_event() -> None:
    task = FederatedTask(
        run=2**63,
        round=1,
        base_head_hash=bytes(32),
        head_object=2**64 - 1,
        head_bytes=5,
        epochs=1,
        rate=0.25,
        decay=0.0,
        deadline_s=9,
    )
    assert task_from_body(task_body(task)) == task
