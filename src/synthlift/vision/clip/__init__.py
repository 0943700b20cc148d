"""CLIP checkpoints from local files: classifiers, the CLIP score and CMMD are made of them."""
