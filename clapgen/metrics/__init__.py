"""Metrics of embeddings, sounds and captions: pure functions, and accumulators for batches."""
