"""Every check of preflight has to find its fault on a cluster that has it, and nothing on a cluster that has not."""
