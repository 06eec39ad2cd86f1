"""Identity, device state, manifests, updates, rollouts, gateway: what a fleet is made of."""
