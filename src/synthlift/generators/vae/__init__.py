"""A conditional variational autoencoder: small, fast, a baseline."""
