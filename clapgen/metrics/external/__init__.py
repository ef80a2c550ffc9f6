"""Metrics computed by other packages in environments of their own."""
