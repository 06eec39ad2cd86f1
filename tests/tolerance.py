"""Every tolerance that a test allows, with the reason; integers compare equal and need none."""

from __future__ import annotations

# Other code around a kernel moves its constants; a change that costs time shows more than this.
BUDGET = 0.01

BACKEND = 2e-5
"""Two frameworks, or two ways to sum in one, on float32 values of about 1."""
