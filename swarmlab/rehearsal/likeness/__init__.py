"""The likeness of an existing swarm: the parts that can be copied into a lab, as plain data."""
