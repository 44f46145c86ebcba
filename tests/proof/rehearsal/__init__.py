"""Rehearsals that have to end in no-go: faults that are planted in nodes as they are upgraded."""
