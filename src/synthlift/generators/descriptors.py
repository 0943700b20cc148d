"""Descriptors of the built-in generators; no torch."""

from __future__ import annotations

from synthlift.generators.cut_paste.config import CutPasteConfig
from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.gan.config import GANConfig
from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.pool.config import PoolConfig
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.translation.config import TranslationConfig
from synthlift.generators.vae.config import VAEConfig
from synthlift.registry import Descriptor

FLOW = Descriptor(
    kind="flow",
    config=FlowConfig,
    version="2",
    target="synthlift.generators.flow.generator:FlowGenerator",
    summary="class-conditional flow matching, trained from scratch, in pixels or in the latents of "
    "a local autoencoder",
    conditions=frozenset({"labels", "attributes", "picture", "guidance"}),
    needs=frozenset({"labels"}),
)

VAE = Descriptor(
    kind="vae",
    config=VAEConfig,
    version="1",
    target="synthlift.generators.vae.generator:VAEGenerator",
    summary="conditional variational autoencoder, trained from scratch: the fastest, and blurry",
    conditions=frozenset({"labels", "attributes"}),
    needs=frozenset({"labels"}),
)

GAN = Descriptor(
    kind="gan",
    config=GANConfig,
    version="2",
    target="synthlift.generators.gan.generator:GANGenerator",
    summary="class-conditional adversarial network with a relativistic loss and gradient "
    "penalties, trained from scratch",
    conditions=frozenset({"labels", "attributes"}),
    needs=frozenset({"labels"}),
)

POOL = Descriptor(
    kind="pool",
    config=PoolConfig,
    version="1",
    target="synthlift.generators.pool.generator:PoolGenerator",
    summary="images that were made elsewhere: a folder or table, with its own class names",
    conditions=frozenset({"labels", "attributes"}),
    needs=frozenset({"inputs", "stock"}),
)

TEXT_TO_IMAGE = Descriptor(
    kind="text_to_image",
    config=TextToImageConfig,
    version="6",
    target="synthlift.generators.text_to_image.generator:TextToImageGenerator",
    summary="a pretrained text-to-image pipeline from a local folder, prompted by class and "
    "attributes",
    conditions=frozenset({"labels", "attributes", "picture", "prompt", "guidance"}),
    needs=frozenset({"labels", "turns"}),
)

IMAGE_TO_IMAGE = Descriptor(
    kind="image_to_image",
    config=ImageToImageConfig,
    version="5",
    target="synthlift.generators.image_to_image.generator:ImageToImageGenerator",
    summary="training images changed by a pretrained pipeline: variations, translations between "
    "classes, repainted objects or backgrounds, images along edges or masks",
    conditions=frozenset({"labels", "attributes", "sources", "picture", "prompt", "guidance"}),
    needs=frozenset({"labels", "inputs", "turns"}),
)

CUT_PASTE = Descriptor(
    kind="cut_paste",
    config=CutPasteConfig,
    version="2",
    target="synthlift.generators.cut_paste.generator:CutPasteGenerator",
    summary="objects or flaws cut out along their masks and pasted onto other images",
    conditions=frozenset({"labels", "sources"}),
    needs=frozenset({"labels", "inputs", "masks"}),
)

TRANSLATION = Descriptor(
    kind="translation",
    config=TranslationConfig,
    version="3",
    target="synthlift.generators.translation.generator:TranslationGenerator",
    summary="images of another style or modality, or masks, translated into the look of the "
    "training images",
    needs=frozenset({"labels", "inputs", "stock"}),
)
