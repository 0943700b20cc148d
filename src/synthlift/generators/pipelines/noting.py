"""What a generator that prompts a pipeline notes of its training images."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from synthlift.embedded import EMBEDDED
from synthlift.errors import needing_extra
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.homonyms import ambiguous
from synthlift.generators.pipelines import few_step_loras
from synthlift.generators.pipelines.abilities import TRUE_GUIDANCE, Task, takes
from synthlift.generators.pipelines.adapter_settings import learnt_words, lora_file
from synthlift.generators.pipelines.adapters import add_loras
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.files import pipeline_files
from synthlift.generators.pipelines.opening import (
    NEGATIVE,
    TOLD_GUIDANCE,
    guides_truly,
    open_pipeline,
)
from synthlift.generators.pipelines.single_file import INDEX
from synthlift.generators.pipelines.suited import Suited, heedless
from synthlift.generators.pipelines.terms import terms_of
from synthlift.generators.pipelines.tokens import lost_words
from synthlift.generators.pipelines.too_long import (
    LONGER,
    avoided_too_long,
    prior_too_long,
    too_long,
)
from synthlift.generators.wording import Wording
from synthlift.types import ImageSet
from synthlift.weights.files import read_json

GUIDED_FROM_0 = ("ZImage", "Krea2")
"""How the classes of pipelines begin that look at what they are to avoid from 0 on, not from 1."""
PRIOR_GUIDED = ("KandinskyCombined", "KandinskyV22Combined")
"""How those begin whose first part looks at it at any guidance: it has one of its own."""
MOST_MEANINGS = 8
"""Names of which a warning says what they mean; of further ones it says that they are such, too."""
APART = "warned_of"
"""Fact: those of the warnings that are of words, and of numbers, which a request may replace."""
OF_WORDS = re.compile(rf"'.+?' means |the prompt '.*' {LONGER}: ", re.DOTALL)
"""How warnings of words begin: also those that earlier versions saved, in other sentences."""


def noted(config: PipelineConfig, train: ImageSet, *, seed: int) -> dict[str, Any]:
    """Classes, attribute values and how often they meet, with the settings; JSON-able.

    Raises:
        InputError: no labelled image, or a placeholder that no attribute fills.
    """
    wording_of(config, seed=seed).check(train.classes, tuple(train.attributes))
    inverting = config.adapt is not None and config.adapt.kind == "textual_inversion"
    vocabulary = Vocabulary.of(train, config.attributes)
    columns = [train.attributes[name].tolist() for name in vocabulary.attributes]
    rows = zip(train.labels.tolist(), *columns, strict=True)
    together = Counter(row for row in rows if row[0] >= 0)
    terms = terms_of(config)
    return {
        **vocabulary.as_json(),
        "config": config.model_dump(mode="json"),
        "seed": seed,
        "image_shape": list(train.image_shape),
        "together": [[list(row), count] for row, count in sorted(together.items())],
        **({"words": learnt_words(vocabulary.classes, vocabulary.counts)} if inverting else {}),
        **({"licence_text": terms} if terms else {}),
    }


def warned(
    facts: dict[str, Any],
    config: PipelineConfig,
    prompts: Iterable[tuple[str, str]],
    *,
    task: Task = "text_to_image",
) -> dict[str, Any]:
    """The facts with warnings about words, numbers and weights.

    Args:
        facts: of :func:`noted`.
        config: the settings.
        prompts: class and prompt of whatever may be asked for.
        task: what the pipeline is opened for.

    Raises:
        InputError: a LoRA file that may act in part does not fit at all.
    """
    apart = _apart(facts, config, prompts)
    found = [*chain(*apart.values()), *_of_weights(config), *_partly_acting(config, task)]
    # Always: what else a fit will warn of, of its adaptation, must not look like an earlier one's.
    return {**facts, APART: apart, **({"warnings": found} if found else {})}


def foretold(config: PipelineConfig, images: ImageSet) -> list[str]:
    """The warnings of :func:`warned` for which no weights are read.

    Args:
        config: the settings.
        images: those of which a training set will be; no pixels are read.

    Raises:
        InputError: as :func:`noted`.
    """
    facts = noted(config, images, seed=0)
    apart = _apart(facts, config, _prompts_of(config, facts))
    return [*chain(*apart.values()), *_of_weights(config)]


def prompts_for(config: PipelineConfig, images: ImageSet) -> Iterator[tuple[str, str]]:
    """Class and prompt of whatever may be asked for.

    Args:
        config: the settings.
        images: those of which a training set will be; no pixels are read.

    Raises:
        InputError: as :func:`noted`.
    """
    return _prompts_of(config, noted(config, images, seed=0))


def _prompts_of(config: PipelineConfig, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    wording = wording_of(config, seed=0, words=facts.get("words"))
    return every_prompt(wording, Vocabulary.from_json(facts), facts["together"])


def _apart(
    facts: Mapping[str, Any], config: PipelineConfig, prompts: Iterable[tuple[str, str]]
) -> dict[str, list[str]]:
    """What the files tell, without weights, of the study's words and of the settings' numbers."""
    return {
        "words": [*_of_words(facts, config, prompts)],
        "numbers": [*_of_numbers(config, _own(config))],
    }


def _told_apart(told: Sequence[str], config: PipelineConfig) -> dict[str, list[str]]:
    """The same of what earlier versions saved together: by how it begins, with no tokenizer."""
    return {
        "words": [words for words in told if OF_WORDS.match(words)],
        "numbers": [*_of_numbers(config, _own(config))] if told else [],
    }


def _own(config: PipelineConfig) -> Suited:
    return Suited(config.sampler_steps, config.guidance_scale)


def _of_words(
    facts: Mapping[str, Any], config: PipelineConfig, prompts: Iterable[tuple[str, str]]
) -> Iterator[str]:
    words = facts.get("words", {})
    wording = wording_of(config, seed=facts["seed"], words=words)
    if config.model != EMBEDDED:  # which knows one meaning of what it knows
        yield from _ambiguities(wording, Vocabulary.from_json(facts))
    yield from too_long(config, prompts, words)


def _of_numbers(
    config: PipelineConfig, used: Suited, *, avoided: str | None = None
) -> Iterator[str]:
    """What is said of steps and guidance, and of negative prompts, which act by the guidance.

    Args:
        config: the settings.
        used: steps and guidance.
        avoided: negative prompt of a request; None = the settings' own.
    """
    folder, scale = pipeline_files(config.model, config.config).folder, used.guidance_scale
    avoids = avoided or config.negative_prompt or any(config.class_negative_prompts.values())
    vain = [*_avoided_in_vain(folder, guidance_scale=scale)] if avoids else []
    yield from vain
    if not vain and avoided is None:
        yield from avoided_too_long(config)
    yield from _guided_in_vain(folder, scale)
    loras = [(lora_file(one.path), one.weight) for one in config.loras]
    told: dict[str, Any] = {"own": used, "scheduler": config.scheduler}
    yield from few_step_loras.told_by_name(folder, [file for file, _ in loras], **told)
    yield from few_step_loras.warnings(folder, loras, **told)


def _of_weights(config: PipelineConfig) -> Iterator[str]:
    """What is said of the files, and of what is learnt, whatever is asked for."""
    yield from prior_too_long(config)
    yield from _less_read(config)


def every_prompt(
    wording: Wording, vocabulary: Vocabulary, together: Iterable[tuple[Sequence[Any], int]]
) -> Iterator[tuple[str, str]]:
    """Class and prompt of every combination of words with the attributes seen together.

    Classes take turns: who reads a part has some of each.

    Args:
        wording: of the settings.
        vocabulary: classes, and names of attributes.
        together: class and attribute values that were seen, with how often.
    """
    names, seen = vocabulary.attributes, defaultdict[int, list[dict[str, str]]](list)
    for (label, *values), _ in together:
        seen[label].append(dict(zip(names, values, strict=True)))

    def of_class(label: int, name: str) -> Iterator[tuple[str, str]]:
        for phrasing in wording.phrasings(name):
            yield from dict.fromkeys((name, phrasing.says(values)) for values in seen[label])

    told = [of_class(*one) for one in enumerate(vocabulary.classes)]
    yield from chain.from_iterable(filter(None, turn) for turn in zip_longest(*told))


def remarks_on(
    config: PipelineConfig, params: Mapping[str, Any], *, facts: Mapping[str, Any]
) -> list[str]:
    """What has no effect when so much is asked for, in words.

    Of what the fit warned of, that which holds: of numbers by those of the request, of words unless
    others take their place, and the rest always.

    Args:
        config: the settings of the generator.
        params: of the request.
        facts: of the fit, see :func:`warned`.
    """
    told: Sequence[str] = facts.get("warnings", ())
    apart = facts.get(APART) or _told_apart(told, config)
    replaced = {*apart.get("numbers", ()), *(apart.get("words", ()) if "prompt" in params else ())}
    files = pipeline_files(config.model, config.config)
    texts = {name: str(params[name]) for name in ("prompt", "negative_prompt") if name in params}
    lost = {
        name: lost_words(
            files.folder, text, without=files.without, avoided=name == "negative_prompt"
        )
        for name, text in texts.items()
    }
    used = Suited(
        int(params.get("sampler_steps", config.sampler_steps)),
        float(params.get("guidance_scale", config.guidance_scale)),
    )
    return [
        *(words for words in told if words not in replaced),
        *(
            f"the {name.replace('_', ' ')} {LONGER}: the words '{words}' are not seen"
            for name, words in lost.items()
            if words
        ),
        *_of_numbers(config, used, avoided=texts.get("negative_prompt")),
    ]


def wording_of(
    config: PipelineConfig, *, seed: int, words: Mapping[str, str] | None = None
) -> Wording:
    """What the settings say about words.

    Args:
        config: the settings.
        seed: of the order of words.
        words: by class, those that were learnt; they take the place of its name and synonyms.
    """
    words = words or {}
    return Wording(
        templates=config.prompt,
        own=config.class_prompts,
        names={**config.names, **words},
        synonyms={k: v for k, v in config.synonyms.items() if k not in words},
        avoided=config.class_negative_prompts,
        phrases=config.phrases,
        every=config.combine == "all",
        seed=seed,
    )


def _ambiguities(wording: Wording, vocabulary: Vocabulary) -> Iterator[str]:
    """One warning of all names that mean two things."""
    told = {label: ambiguous(wording.words(label)[0]) for label in vocabulary.classes}
    found = {label: one for label, one in told.items() if one is not None}
    if not found:
        return
    label, (word, meanings) = next(iter(found.items()))
    named = {one: wording.words(one)[0] for one in found}
    which = [
        f"'{named[one]}' means {first} as well as {second}"
        for one, (_, (first, second)) in islice(found.items(), MOST_MEANINGS)
    ]
    if more := [*named.values()][MOST_MEANINGS:]:
        which.append(f"so it is with {', '.join(map(repr, more))}")
    yield (
        f"{'; '.join(which)}: the pipeline may draw either; say which under data.names, such as "
        f"{label}: '{word}, {meanings[0]}'"
    )


def _less_read(config: PipelineConfig) -> Iterator[str]:
    """A warning where a file lacks a text encoder that its pipeline can do without."""
    files = pipeline_files(config.model, config.config)
    if files.single is not None and files.without:
        yield (
            f"'{files.single.name}' holds no {', no '.join(files.without)} (T5): the pipeline "
            "draws without, reads 77 tokens at most, and follows long prompts less closely"
        )


def guided_from(kind: Any) -> int:
    """The guidance above which pipelines of a class look at what they are to avoid."""
    name = getattr(kind, "__name__", "")
    if name.startswith(PRIOR_GUIDED):
        return -1
    return 0 if name.startswith(GUIDED_FROM_0) else 1


def _avoided_in_vain(folder: Path, *, guidance_scale: float) -> Iterator[str]:
    """A warning where negative prompts cannot have an effect."""
    transformer = read_json(folder / "transformer" / "config.json").get("_class_name", "")
    kind = _kind_of(folder)
    least = guided_from(kind)
    if kind is not None and not takes(kind, NEGATIVE):
        yield f"negative prompts have no effect on this pipeline: a {kind.__name__} takes none"
    elif guidance_scale <= least:
        yield (
            f"negative prompts have no effect at guidance_scale {guidance_scale:g}: what is "
            f"not to be shown counts where the scale is above {least}"
        )
    elif transformer == TOLD_GUIDANCE:
        yield (
            "negative prompts have no effect on this pipeline: its network is told how strictly it "
            "is to follow the prompt, and of nothing else"
        )


def _guided_in_vain(folder: Path, guidance_scale: float) -> Iterator[str]:
    """A warning where a pipeline would tell its network the guidance, which has no ear for it."""
    kind = _kind_of(folder)
    if guidance_scale > 1 and heedless(folder):
        yield (
            f"guidance_scale {guidance_scale:g} has no effect on this pipeline: it was distilled "
            "for few steps, and draws without"
        )
        return
    if guidance_scale <= 1 or kind is None or not takes(kind, TRUE_GUIDANCE):
        return
    network = read_json(folder / "transformer" / "config.json")
    if not network.get("guidance_embeds") and not guides_truly(kind, network):
        yield (
            f"guidance_scale {guidance_scale:g} has no effect on this pipeline: its network is not "
            "told how strictly it is to follow the prompt"
        )


def _kind_of(folder: Path) -> Any:
    """The class of diffusers that a pipeline is of; None = another library's."""
    with needing_extra("text-to-image", extra="text2image"):
        import diffusers
    return getattr(diffusers, str(read_json(folder / INDEX).get("_class_name", "")), None)


def _partly_acting(config: PipelineConfig, task: Task) -> list[str]:
    """A warning for each LoRA file that may act in part, and does; opens the pipeline for it."""
    if not any(lora.partial for lora in config.loras):
        return []
    return add_loras(open_pipeline(config, task=task), config.loras)
