"""The rehearsal of an upgrade: plan, run, decision, page, and the likeness of an existing swarm."""
