"""Faults are planted in real clusters: every test of the suites must fail for its reason."""
