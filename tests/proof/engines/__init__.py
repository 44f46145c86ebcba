"""Proofs that engines from archives, packages and mirrors work as nodes' engines."""
