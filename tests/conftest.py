"""What holds for all tests, and for the processes that they start."""

import os

# Models of tests are tiny. Threads that share one such step wait for each other in a busy loop, which takes many times
# as long as soon as anything else runs on the machine. Read when torch is loaded, so set before.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Processes of pytest-xdist set it; a console made then keeps that width, whatever a test sets.
os.environ.pop("COLUMNS", None)
