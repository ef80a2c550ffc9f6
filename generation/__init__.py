"""Sound from text: autoencoder, diffusion model, samplers and the pipeline that joins them to CLAP."""
