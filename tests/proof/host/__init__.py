"""Proofs on hosts of many kinds, each with an engine of its own."""
