"""Benches: figures that this project promises, measured anew by `python -m tools.bench AREA`."""
