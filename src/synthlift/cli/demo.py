"""``synthlift demo``."""

from __future__ import annotations

from synthlift.cli import options
from synthlift.cli.errors import guarded

NEXT = """
Try next:
  synthlift run FOLDER                your own images, one sub-folder a class
  synthlift export {run} --arm targeted@1
                                      the images that an arm was trained on
  synthlift generate {run} --per-class 20 --out demo-images
                                      new images from its generator"""


@guarded
def demo(
    out: options.Out = None,
    store: options.Store = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    changes: options.Set = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show the whole path on embedded digits.

    Scikit-learn's handwritten digits, long-tailed; minutes on two cores.
    """
    from synthlift import api
    from synthlift.cli.run import conclude

    study = api.demo_study()
    asked = api.ask(study, out=out, store=store, overrides=changes or (), seed=seed)
    conclude(asked, device=device, workers=workers, as_json=as_json, quiet=quiet, next_steps=NEXT)
