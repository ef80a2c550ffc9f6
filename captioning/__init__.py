"""Text from sound: captions read out of the CLAP embedding space."""
