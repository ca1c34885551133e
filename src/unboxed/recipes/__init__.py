"""One file per paper: its choices, and the parts that they pick."""
