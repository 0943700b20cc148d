"""The terms of a pipeline and of all that it draws with besides. No torch here."""

from __future__ import annotations

from pathlib import Path

from synthlift.generators.pipelines.adapter_settings import lora_file
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.files import pipeline_files
from synthlift.weights import locate
from synthlift.weights.recognising import licence_of, licence_text


def terms_of(config: PipelineConfig) -> str:
    """Licence texts, word by word, or what a part states in short; "" = there are none."""
    own = licence_text(pipeline_files(config.model, config.config).named)
    found = []
    for what, said, place in _besides(config):
        text = licence_text(place)
        if text and text != own:
            found.append(f"Terms of the {what} '{said}':\n\n{text.strip()}\n")
        elif not text and (stated := licence_of(place)):
            found.append(f"The {what} '{said}' states the licence: {stated}\n")
    if not found:
        return own
    if own:
        found.insert(0, f"Terms of the pipeline '{Path(config.model).name}':\n\n{own.strip()}\n")
    return "\n".join(dict.fromkeys(found))


def _besides(config: PipelineConfig) -> list[tuple[str, str, Path]]:
    """What a pipeline draws with besides its own weights: what it is, its name, its place."""
    found = [("LoRA file", one.path, lora_file(one.path)) for one in config.loras]
    files = pipeline_files(config.model, config.config)
    if files.single is not None and config.config:  # whose text encoders draw, too
        found.append(("model with the other parts", config.config, files.folder))
    parts = {"decoder": config.decoder, "ControlNet": getattr(config, "control_model", "")}
    found += [(what, said, locate(said)) for what, said in parts.items() if said]
    return [(what, Path(said).name, place) for what, said, place in found]
