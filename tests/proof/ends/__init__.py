"""Labs that are taken away or used by two: what a run makes of it. Run by `make proof-ends`."""
