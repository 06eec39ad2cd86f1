"""The statuses of Python are those of C: one list, read from its one place."""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.link.status import Status

DEFINITION = Path(__file__).parents[2] / "firmware/include/ek_status.def"


def test_statuses_equal_those_of_the_firmware() -> None:
    rows = re.findall(r'^X\(EK_(?:ERR_)?(\w+), (-?\d+), "(.*)"\)', DEFINITION.read_text(), re.M)
    assert [(name, int(number), text) for name, number, text in rows] == [
        (status.name, int(status), status.text) for status in Status
    ]
