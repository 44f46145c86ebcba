"""Claims and their verdicts: catalogue, profiles, waivers, and the results of runs and their comparison."""
