"""Every check of preflight must find its fault on a cluster that has it, and nothing on a cluster that has not."""
