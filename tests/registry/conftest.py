from __future__ import annotations

import pytest
from registry.fleet_fixture import plain_events

from edgekit.registry.store import Store
from edgekit.registry.sync import apply


@pytest.fixture
def fleet() -> Store:
    store = Store.memory()
    for event, blob in plain_events():
        apply(store, event, blob)
    return store
