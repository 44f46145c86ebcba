"""Faults are planted in nodes as they are upgraded: every rehearsal must end in no-go for the right reason."""
