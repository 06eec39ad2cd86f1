"""`edgekit demo`: the whole loop on this machine."""

from __future__ import annotations

from pathlib import Path

import typer


def demo(
    out: Path | None = typer.Option(
        None, help="Folder for models, fleet and page; build/demo of a checkout by default."
    ),
) -> None:
    """Train, compile, emulate, update over the air and learn together, with nothing faked.

    Example: edgekit demo --out /tmp/edgekit-demo
    """
    import signal

    from edgekit import share
    from edgekit.demo.console import Teller
    from edgekit.demo.story import STEPS, run_demo

    # A polite end takes the same way as Ctrl-C: everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    page = run_demo(out if out is not None else share.cache_dir() / "demo", Teller(STEPS))
    print(f"report: {page}")
