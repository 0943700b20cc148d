"""Translation: images of another style or modality, or masks, into the look of the training set."""
