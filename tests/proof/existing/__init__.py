"""A swarm that exists, with work of its own, and what the suites must not do to it. Run by `make proof-existing`."""
