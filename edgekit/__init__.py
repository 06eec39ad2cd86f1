"""From training to a managed fleet of tiny devices."""

__version__ = "0.1.0"
