"""The agent for Linux-class devices: the C agent's part in a fleet, spoken over MQTT directly."""
