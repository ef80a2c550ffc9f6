"""Measures of embeddings, sounds and captions."""
