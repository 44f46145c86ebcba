"""Support bundles: what a person who looks for a fault needs of a lab or a swarm, without secrets, in one archive."""
