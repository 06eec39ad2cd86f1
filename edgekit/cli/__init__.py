"""The command line: one file per command, listed in `edgekit/cli/main.py`."""
