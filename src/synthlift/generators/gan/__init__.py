"""A class-conditional generative adversarial network with a stable loss."""
