"""What is said of prompts that are longer than the text encoders of a pipeline read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from synthlift.generators.pipelines.adapter_settings import prior_of
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.files import pipeline_files
from synthlift.generators.pipelines.tokens import lost_words, tokens_lost

MOST_CHECKED = 20_000
"""Prompts that are measured against the text encoder's limit."""
LONGER = "is longer than the text encoder reads"


def too_long(
    config: PipelineConfig, prompts: Iterable[tuple[str, str]], words: Mapping[str, str]
) -> Iterator[str]:
    """A warning for each class of which a prompt is cut by the text encoder.

    Args:
        config: the settings.
        prompts: class and prompt of whatever may be asked for.
        words: by class, those that were learnt.
    """
    vectors = getattr(config.adapt, "vectors", 1)
    distinct = [*dict.fromkeys(islice(prompts, MOST_CHECKED))]
    # The tokenizer in the folder does not know what was learnt: a letter takes as many tokens.
    known = [
        prompt.replace(words[label], "a " * vectors) if label in words else prompt
        for label, prompt in distinct
    ]
    yield from _cut(config, distinct, known, what="prompt")


def prior_too_long(config: PipelineConfig) -> Iterator[str]:
    """A warning for each prompt of an adaptation's prior that is cut."""
    prior = prior_of(config.adapt)
    texts = [*dict.fromkeys(prior.prompts)] if prior is not None else []
    yield from _cut(config, [(text, text) for text in texts], texts, what="prompt of the prior")


def avoided_too_long(config: PipelineConfig) -> Iterator[str]:
    """A warning for each negative prompt that is cut."""
    avoided = dict.fromkeys([config.negative_prompt, *config.class_negative_prompts.values()])
    texts = [text for text in avoided if text]
    yield from _cut(config, [(text, text) for text in texts], texts, what="negative prompt")


def _cut(
    config: PipelineConfig,
    prompts: Sequence[tuple[str, str]],
    known: Sequence[str],
    *,
    what: str,
) -> Iterator[str]:
    """A warning for each label with a prompt of which tokens are lost: the one that loses most.

    Args:
        config: the settings.
        prompts: label and prompt.
        known: the same prompts in words that the tokenizers know.
        what: what they are called.
    """
    files, avoided = pipeline_files(config.model, config.config), what == "negative prompt"
    cut: dict[str, list[tuple[int, int]]] = defaultdict(list)
    lost = tokens_lost(files.folder, known, without=files.without, avoided=avoided)
    for row, count in enumerate(lost):
        if count:
            cut[prompts[row][0]].append((count, row))
    for label, rows in cut.items():
        _, worst = max(rows, key=lambda found: found[0])
        unseen = lost_words(files.folder, known[worst], without=files.without, avoided=avoided)
        others = f"; so it is with {len(rows) - 1:,} more of '{label}'" if len(rows) > 1 else ""
        text = prompts[worst][1]
        yield f"the {what} '{text}' {LONGER}: the words '{unseen}' are not seen{others}"
