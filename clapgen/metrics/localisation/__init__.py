"""Metrics of localisation: frames, segments, and detections over all thresholds. Times are in seconds."""
