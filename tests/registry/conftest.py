from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

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


@pytest.fixture(scope="module")
def oxigraph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server of the package `oxigraph` on an empty folder; its address for `--store`."""
    program = Path(sys.executable).parent / "oxigraph"
    folder = tmp_path_factory.mktemp("oxigraph")
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    line = [str(program), "serve", "--location", str(folder), "--bind", place]
    with subprocess.Popen([*line, "--union-default-graph"], stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60.0
        while time.monotonic() < end:
            try:
                urlopen(f"http://{place}/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"sparql+http://{place}/"
        process.kill()
