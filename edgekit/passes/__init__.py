"""Passes: functions Graph -> Graph, and the memory plan."""
