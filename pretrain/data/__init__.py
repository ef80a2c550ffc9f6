"""Corpora, shards, captions and augmentation for CLAP training."""
