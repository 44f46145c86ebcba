"""The doctor: whether a run of the suites could work from here, on an existing swarm or on a lab of this machine."""
