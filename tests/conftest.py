"""Two test processes share two cores: each computes on one thread, or they wait for each other at every operation."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
