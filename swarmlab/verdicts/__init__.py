"""Claims, their verdicts, and what is read back of a run: catalogue, waivers, results, comparison, profiles."""
