"""All that host and device say to each other: frames, seals, messages, chunks, topics, MQTT.

The bytes are specified in firmware/link/PROTOCOL.md.
"""
