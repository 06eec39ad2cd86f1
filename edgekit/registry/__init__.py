"""The RDF registry: what boards, models, devices and runs there are, and what fits where."""
