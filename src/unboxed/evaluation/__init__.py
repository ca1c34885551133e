"""How well phrases are grounded: scores under named protocols, untrained baselines to hold against them, the report."""
