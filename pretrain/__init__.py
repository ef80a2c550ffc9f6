"""Training of the CLAP: data, augmentation, objectives and recipes."""
