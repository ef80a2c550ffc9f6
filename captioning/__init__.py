"""Text from sound: captioners that are trained on sentences and run on audio."""
