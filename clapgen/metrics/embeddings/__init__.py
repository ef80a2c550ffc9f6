"""Metrics computed from embeddings, cosines and class posteriors."""
