"""Weights that an opened network should have and its files do not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthlift.weights.copies import variant_in

NAMED = 3
"""How many are named where there are more."""


def missing_weights(network: Any, *, folder: Path | None = None, mark: str | None = None) -> str:
    """Name what the files of a network lack: the first ones, and how many more; "" = nothing.

    Diffusers warns of what is missing and leaves it without numbers. Transformers warns, too, and
    draws it at random, so that nothing shows afterwards: its networks are asked again for what they
    found in their folder. Weights that are another's by design are none that miss.

    Args:
        network: as diffusers or transformers opened it, before it is moved.
        folder: that it was opened from; None = it was made from a file of the original code, which
            diffusers does for networks of transformers, too.
        mark: of the copy of its weights that was opened, if that is in the folder.
    """
    named = (*network.named_parameters(), *network.named_buffers())
    lost = {name for name, tensor in named if tensor.is_meta}
    if folder is not None:
        lost |= _drawn_at_random(network, folder, mark)
    first, more = sorted(lost)[:NAMED], len(lost) - NAMED
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def _drawn_at_random(network: Any, folder: Path, mark: str | None) -> set[str]:
    from transformers import PreTrainedModel

    if not isinstance(network, PreTrainedModel):
        return set()
    # On the device without memory: no number is kept, and none drawn from the global state.
    kind: Any = type(network)
    _, told = kind.from_pretrained(
        folder,
        variant=variant_in(folder, mark),
        device_map="meta",
        output_loading_info=True,
        use_safetensors=True,
        local_files_only=True,
    )
    return set(told["missing_keys"])
