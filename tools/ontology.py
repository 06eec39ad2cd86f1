"""Write the HTML documentation of the ontology, with pyLODE, into `build/ontology/`.

python -m tools.ontology [--out FOLDER]
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = "edgekit.html"


def write_page(folder: Path) -> Path:
    """Write one page with every class and property, and return its path."""
    from pylode import OntPub

    # It reports the fonts and event loops of its libraries.
    logging.disable(logging.INFO)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    OntPub(str(ROOT / "ontologies" / "edgekit.ttl")).make_html(destination=str(page))
    return page


def main() -> int:
    """Write the page and say where it is."""
    parser = argparse.ArgumentParser(description="Write the HTML documentation of the ontology.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "ontology", help="folder")
    page = write_page(parser.parse_args().out)
    print(f"{page} ({page.stat().st_size // 1000} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
