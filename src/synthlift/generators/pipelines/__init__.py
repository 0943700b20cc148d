"""What all generators have in common that draw with pretrained pipelines of diffusers."""

import warnings

# diffusers' own way of importing one of its families (Kolors); nobody who uses us can mend it.
warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated")
