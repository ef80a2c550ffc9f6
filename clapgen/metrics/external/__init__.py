"""Metrics computed by other packages, in their own environments."""
