"""Training images changed by a pretrained pipeline: variations, translations, repainting."""
