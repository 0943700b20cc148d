"""What all generators have in common that draw with pretrained pipelines of diffusers."""
