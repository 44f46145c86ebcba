"""The cluster under test: nodes, swarm, services, and what tests make there, break there and remove again."""
