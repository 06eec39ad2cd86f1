"""Emulators, virtual devices and the memory that they run from."""
