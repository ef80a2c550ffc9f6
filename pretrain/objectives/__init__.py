"""Training objectives of the CLAP."""
