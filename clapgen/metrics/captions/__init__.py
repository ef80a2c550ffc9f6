"""Metrics computed from captions."""
