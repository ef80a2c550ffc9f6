"""What every test needs before torch is imported: threads that sleep while they wait for one another."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
