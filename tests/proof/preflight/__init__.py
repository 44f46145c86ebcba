"""The power of preflight to detect: every finding has to appear on a cluster that has the fault, and on no other."""
