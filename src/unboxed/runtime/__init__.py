"""Files written atomically, locks, threads, progress and counter-based random numbers: what every folder uses."""
