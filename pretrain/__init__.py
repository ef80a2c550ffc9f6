"""Training of the CLAP: data and augmentation, objectives, the recipe."""
