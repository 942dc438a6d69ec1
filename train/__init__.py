"""Training of networks and CRFs. Runs from the checkout; not packaged."""

import os

# Read when torch loads OpenMP: between operations its threads sleep instead of spinning, and other programs get their cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
