"""The append-only event log: the one place where everything enters.

`SCHEMA.md` lists every kind of event with its body.
"""

from edgekit.journal.journal import Entry, Event, Journal
from edgekit.journal.schema import KINDS, Kind

__all__ = ["Entry", "Event", "Journal", "KINDS", "Kind"]
