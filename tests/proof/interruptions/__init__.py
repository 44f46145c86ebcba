"""Runs are interrupted and killed: nothing is left, and the last line says so."""
