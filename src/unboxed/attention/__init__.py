"""Which word attends to which region, and how well the two match."""
