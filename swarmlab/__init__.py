"""Labs, nodes, swarms, faults and waits: the library of the suites. It does not import pytest."""
