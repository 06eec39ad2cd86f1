"""Every tolerance that a test allows, with the reason; integers compare equal and need none."""

from __future__ import annotations
