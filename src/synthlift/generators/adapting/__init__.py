"""Adapting a pretrained pipeline to the training images: low-rank additions, or new words."""
