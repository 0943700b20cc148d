"""Pretrained image autoencoders from local files, in whose latents a generator can learn."""
