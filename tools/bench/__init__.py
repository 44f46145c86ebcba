"""Benchmarks: how the work grows with the number of nodes, and how much of it is the engines' own."""
