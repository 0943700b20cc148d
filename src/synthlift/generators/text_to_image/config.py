"""Settings of the text-to-image generator. No torch here: descriptors and planners read it."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from synthlift.errors import InputError
from synthlift.generators.prompts import LABEL, placeholders
from synthlift.registry import ComponentConfig

INDEX = "model_index.json"


class TextToImageConfig(ComponentConfig):
    """Settings of kind ``text_to_image``.

    Attributes:
        model: folder of a pipeline in the format of diffusers, weights as safetensors; nothing is
            downloaded.
        model_sha256: of its files; filled in, so that keys follow the content.
        prompt: text with ``{label}`` and names of attributes in braces.
        negative_prompt: what images should not show, where the pipeline takes such a text.
        attributes: names of attributes that prompts use; those in the prompt are added.
        names: class name → words for the prompt; by default those under ``data.names``.
        guidance_scale: classifier-free guidance; near 2 trains better classifiers than 7.5.
        sampler_steps: steps from noise to image.
        size: side in pixels at which the pipeline draws; auto = its own. Images are then brought
            to the study's size.
        dtype: number format of the network.
        micro_batch: images computed together; fixed, so that pixels never depend on how requests
            are batched.
    """

    model: str
    model_sha256: str = ""
    prompt: str = "a photo of {label}"
    negative_prompt: str = ""
    attributes: tuple[str, ...] = ()
    names: dict[str, str] = Field(default_factory=dict)
    guidance_scale: float = Field(default=2.0, ge=0, le=50)
    sampler_steps: int = Field(default=30, ge=1, le=1000)
    size: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] | Literal["auto"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    micro_batch: int = Field(default=4, ge=1, le=256)

    @model_validator(mode="before")
    @classmethod
    def _hash_model(cls, value: Any) -> Any:
        # A saved generator carries the hash, so that it opens where the model no longer lies.
        if not isinstance(value, dict) or not value.get("model") or value.get("model_sha256"):
            return value
        return {**value, "model_sha256": hash_pipeline(Path(value["model"]))}

    @field_validator("prompt")
    @classmethod
    def _names_the_class(cls, value: str) -> str:
        try:
            named = placeholders(value)
        except InputError as error:
            raise ValueError(f"{error.given}; {error.rule}") from None
        if LABEL not in named:
            raise ValueError(f"the prompt '{value}' does not name the class; write {{label}} in it")
        return value

    @model_validator(mode="after")
    def _with_placeholders(self) -> TextToImageConfig:
        named = {*self.attributes, *placeholders(self.prompt)} - {LABEL}
        # Frozen: the only field that others decide is set once, here.
        object.__setattr__(self, "attributes", tuple(sorted(named)))
        return self


def hash_pipeline(folder: Path) -> str:
    """SHA-256 (hex) over names and contents of a pipeline's files.

    Raises:
        InputError: there is no such folder, or it holds no pipeline.
    """
    if not (folder / INDEX).is_file():
        what = "holds no pipeline" if folder.is_dir() else "does not exist"
        raise InputError(
            f"the text-to-image model '{folder}' {what}",
            rule=f"'model' is a local folder with {INDEX}, as diffusers saves it; nothing is "
            "downloaded",
            remedy="give the folder of a downloaded pipeline",
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in files if path.suffix in (".safetensors", ".json", ".txt", ".model")]
    if not any(path.suffix == ".safetensors" for path in kept):
        raise InputError(
            f"the text-to-image model '{folder}' has no weights in safetensors",
            rule="weights are read as safetensors only: other formats can run code when loaded",
            remedy="download the safetensors variant, or convert the weights",
        )
    facts = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in kept)
    return _hash_files(folder, facts)


@functools.lru_cache(maxsize=16)
def _hash_files(folder: Path, facts: tuple[tuple[Path, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, *_ in facts:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return whole.hexdigest()
