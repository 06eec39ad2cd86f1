"""The whole loop on this machine, from training to a fleet that learns together."""
