"""Image generation with a variational autoencoder (VAE)."""
