"""Evaluation reports: their model, and their HTML, CSV and terminal forms."""
