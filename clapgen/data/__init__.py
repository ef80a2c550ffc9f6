"""Training and evaluation data: manifests, tables, text, and the cache of decoded audio."""
