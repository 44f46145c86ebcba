"""Faults are planted in nodes as they are upgraded: every rehearsal has to end in no-go for the right reason."""
