"""Labs, nodes, swarms, faults and waits: what the suites are written in, usable without pytest."""
