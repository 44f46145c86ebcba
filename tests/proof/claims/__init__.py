"""Faults are planted in real clusters: every test of the suites has to fail for its reason."""
