"""`edgekit demo`: the whole loop on this machine."""

from __future__ import annotations

from pathlib import Path

import typer


def demo(
    out: Path | None = typer.Option(
        None, help="Folder for models, fleet and page; build/demo of a checkout by default."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="Print the results as JSON, the steps on standard error."
    ),
) -> None:
    """Train, compile, emulate, update over the air and learn together, with nothing faked.

    Example: edgekit demo --out /tmp/edgekit-demo
    """
    import json
    import logging
    import signal

    from rich.console import Console

    from edgekit import share
    from edgekit.data.files import make_folder
    from edgekit.demo.console import Teller
    from edgekit.demo.story import STEPS, run_demo

    # A polite end takes the same way as Ctrl-C: everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = (out if out is not None else share.cache_dir() / "demo").resolve()
    make_folder(folder)
    logging.basicConfig(
        filename=folder / "demo.log",
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(name)s: %(message)s",
    )
    teller = Teller(STEPS, console=Console(highlight=False, stderr=as_json))
    rows = run_demo(folder, teller)
    page = folder / "report.html"
    if as_json:
        facts = [{"what": what, "found": found, "asked": asked} for what, found, asked in rows]
        print(json.dumps({"results": facts, "report": str(page)}, indent=2))
        return
    teller.summary(rows)
    print(f"report: {page}")
