"""`edgekit agent`: this machine as a device of a fleet."""

from __future__ import annotations

import json
from pathlib import Path

import typer


def agent(
    credentials: Path = typer.Argument(..., help="File of 'edgekit fleet add --credentials'."),
    state: Path | None = typer.Option(
        None, "--state", help="Folder of keys and model; default beside the credentials."
    ),
    samples: Path | None = typer.Option(
        None, "--samples", help="Labelled samples to learn from; they never leave the machine."
    ),
    broker: str | None = typer.Option(None, "--broker", help="HOST:PORT; default of the file."),
    as_json: bool = typer.Option(False, "--json", help="Print each change as a line of JSON."),
) -> None:
    """Run this machine as a device, over MQTT and without a gateway, until Ctrl-C.

    It claims its place with its token, takes releases after their signature and golden vectors
    are proven, and answers federated rounds with the C code of the boards.

    Example: edgekit agent pi-1.json --samples pi-1.samples
    """
    import logging
    import signal
    import threading

    from edgekit.agent.agent import Agent
    from edgekit.agent.credentials import load_credentials, parse_broker
    from edgekit.errors import ConfigError

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    known = load_credentials(credentials)
    where = broker or known.broker
    if not where:
        raise ConfigError(f"{credentials}: names no broker; --broker HOST:PORT does")
    folder = state or credentials.with_name(f"{credentials.stem}.state")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.set())
    last = ""
    with Agent(known, broker=parse_broker(where), folder=folder, samples=samples) as running:
        going = True
        while going:
            going = not stopped.wait(0.2) and running.failure is None
            line = _line(running, as_json=as_json)
            if line != last:
                print(line, flush=True)
            last = line
    if running.failure is not None:
        raise running.failure


def _line(agent: object, *, as_json: bool) -> str:
    from edgekit.agent.agent import Agent

    assert isinstance(agent, Agent)
    update, task = agent.update, agent.federated
    if as_json:
        return json.dumps(
            {
                "claimed": agent.is_claimed,
                "release": update.state.name.lower(),
                "image": None if update.image_id is None else update.image_id.hex(),
                "run": task.run,
                "round": task.round,
                "task": task.state.name.lower(),
                "samples": task.samples,
            }
        )
    claimed = "claimed" if agent.is_claimed else "not claimed yet"
    line = f"{claimed}; release {update.state.name.lower()}"
    if task.run:
        line += f"; run {task.run} round {task.round} {task.state.name.lower()}"
        line += f" on {task.samples} samples"
    return line
