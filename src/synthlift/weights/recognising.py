"""What a folder or file of weights is, and on which terms it was given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from synthlift.weights.files import metadata_of, read_json, tensor_shapes
from synthlift.weights.hub import snapshot_of

DUAL_TYPES = (
    "siglip2",
    "align",
    "altclip",
    "chinese_clip",
    "metaclip_2",
    "vision-text-dual-encoder",
)
"""Types of transformers that embed images and texts in one space, beside its CLIP and SigLIP."""
CLIP_TYPES = ("clip", "siglip", *DUAL_TYPES)
"""All those that can be used as a CLIP; SigLIP 2 of a fixed size is of type siglip."""
UNUSED_TYPES = ("groupvit", "clipseg", "blip", "blip-2", "flava", "owlvit", "owlv2", "x_clip")
"""Those that are like it, and cannot."""
USABLE = (
    f"of transformers' models those of type {', '.join(CLIP_TYPES)} can be used as a CLIP, and "
    "those of open_clip"
)
LICENCE_FILES = ("LICENSE", "LICENCE", "COPYING")
LONGEST_LICENCE = 2**20
UNKNOWN = "unknown"
STATED_WITHIN = ("modelspec.license", "license")
"""Where a safetensors file states it: as Stability's Model Metadata Standard says, or plainly."""
STATED = r"^(license|license_name):[ \t]*['\"]?([^\n'\"]+)"


@dataclass(frozen=True)
class Recognised:
    """What weights are.

    Attributes:
        kind: pipeline, pipeline file, controlnet, autoencoder, clip, lora, model, weights; unknown
            = none of these.
        architecture: the class or model type that it names itself; "" = it names none.
    """

    kind: str
    architecture: str = ""


def remark_on(kind: str, architecture: str) -> str:
    """What there is to say of weights of no use; "" = nothing.

    Args:
        kind, architecture: as recognised.
    """
    if kind != "model" or architecture not in UNUSED_TYPES:
        return ""
    return f"No classifier or filter can use a model of type {architecture}: {USABLE}."


def recognise(place: Path) -> Recognised:
    """Say what lies in a folder or file, from its settings and the names of its tensors."""
    return _file(place) if place.is_file() else _folder(place)


def _folder(place: Path) -> Recognised:
    if index := read_json(place / "model_index.json"):
        return Recognised("pipeline", str(index.get("_class_name", "")))
    if read_json(place / "open_clip_config.json"):
        return Recognised("clip", "open_clip")
    config = read_json(place / "config.json")
    name = str(config.get("_class_name", ""))
    if "ControlNet" in name:
        return Recognised("controlnet", name)
    if name.startswith("Autoencoder"):
        return Recognised("autoencoder", name)
    if config.get("model_type") in CLIP_TYPES:
        return Recognised("clip", str(config["model_type"]))
    if config:
        return Recognised("model", name or str(config.get("model_type", "")))
    found = sorted(place.glob("*.safetensors"))
    return _file(found[0]) if len(found) == 1 else Recognised(UNKNOWN)


def _file(path: Path) -> Recognised:
    if path.suffix in (".pth", ".pt"):
        return Recognised("weights")
    if path.suffix != ".safetensors":
        return Recognised(UNKNOWN)
    names = tensor_shapes(path)
    if any("lora" in name.lower() for name in names):
        return Recognised("lora")
    if any(name.startswith("model.diffusion_model.") for name in names):
        return Recognised("pipeline file")
    return Recognised("weights") if names else Recognised(UNKNOWN)


def licence_of(place: Path) -> str:
    """The licence that weights state: its short name, or the first line of its text; "" = none.

    A file of safetensors may state it itself. Else it is looked for in the header of ``README.md``,
    as the Hub writes it, then in a licence file.
    """
    if place.is_file() and place.suffix == ".safetensors":
        told = metadata_of(place)
        if within := next((told[key].strip() for key in STATED_WITHIN if told.get(key)), ""):
            return within
    for folder in _beside(place):
        if named := _on_card(folder / "README.md"):
            return named
        if (path := _licence_file(folder)) is not None:
            lines = path.read_text("utf-8", errors="replace").strip().splitlines()
            return f"{lines[0].strip()} ({path.name})" if lines else path.name
    return ""


def _beside(place: Path) -> list[Path]:
    """Folders that may tell of weights: their own, and within a model of the Hub those above."""
    folder = place.parent if place.is_file() else place
    whole = snapshot_of(folder)
    if whole is None:
        return [folder]
    return [one for one in (folder, *folder.parents) if one.is_relative_to(whole)]


def _on_card(card: Path) -> str:
    """The licence in a card's header, as the Hub writes it; "" = none."""
    if not card.is_file():
        return ""
    header = re.match(r"---\n(.*?)\n---", card.read_text("utf-8", errors="replace"), re.DOTALL)
    said: dict[str, str] = dict(re.findall(STATED, header[1], re.M)) if header else {}
    named = said.get("license", "").strip()
    # The Hub has short names for few licences; "other" stands for all the rest.
    return said.get("license_name", "").strip() or named if named in ("", "other") else named


def _licence_file(folder: Path) -> Path | None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and path.name.upper().startswith(LICENCE_FILES):
            return path
    return None


def licence_text(place: Path) -> str:
    """The text of the licence file that lies beside weights; "" = there is none, or no text."""
    for folder in _beside(place):
        path = _licence_file(folder)
        if path is not None and path.stat().st_size <= LONGEST_LICENCE:
            return path.read_text("utf-8", errors="replace")
    return ""
