"""What images are asked for in words: templates, synonyms and phrases, varied evenly.

One factor of a prompt is which template is used, one is the word for the class, and one is each
phrase bank that the template names. Image ``index`` of a class takes, of a factor with m options,
number ``index % m`` of an order drawn anew for every m images. Each option is thus used equally
often in every run of m images, and options of different factors meet at random (a Latin
hypercube, McKay 1979, one image at a time). With ``combine: all`` the combinations themselves are
the options of one factor.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from synthlift.errors import InputError, nearest_name
from synthlift.generators.prompts import LABEL, placeholders, prompt_for, require_known
from synthlift.seeds import generator_for

OF_BANKS = {"template": "phrases: template"}
"""Factors of phrase banks that are not called as the bank: a factor is called so already."""
MOST_COMBINATIONS = 100_000
"""Of templates, words and phrases of one class, that are put in order with ``combine: all``."""


@dataclass(frozen=True)
class Phrasing:
    """The options taken for one image: a template, a word for the class, phrases by bank."""

    template: str
    word: str
    phrases: Mapping[str, str] = field(default_factory=dict)

    def says(self, attributes: Mapping[str, str]) -> str:
        """The prompt with these attribute values."""
        return prompt_for(self.template, label=self.word, attributes={**attributes, **self.phrases})


@dataclass(frozen=True)
class Wording:
    """How classes are put into words.

    Attributes:
        templates: for every class that has none of its own.
        own: templates by class.
        names: the word for a class; its own name by default.
        synonyms: further words by class.
        avoided: what images of a class should not show.
        phrases: options by bank; a bank's name is a placeholder.
        every: all combinations equally often, rather than all options of each factor.
        seed: of the order.
    """

    templates: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    avoided: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    every: bool = False
    seed: int = 0

    def of(self, label: str) -> tuple[str, ...]:
        """The templates of a class."""
        return self.own.get(label, self.templates)

    def words(self, label: str) -> tuple[str, ...]:
        """The words for a class, its name first."""
        first = self.names.get(label, label.replace("_", " "))
        return tuple(dict.fromkeys([first, *self.synonyms.get(label, ())]))

    def phrasing(self, label: str, index: int) -> Phrasing:
        """What image ``index`` of a class is asked for with."""
        if self.every:
            return self._combination(
                label, self._turn(label, "combination", index, self.combinations(label))
            )
        templates, words = self.of(label), self.words(label)
        template = templates[self._turn(label, "template", index, len(templates))]
        chosen = {
            bank: self.phrases[bank][
                self._turn(label, OF_BANKS.get(bank, bank), index, len(self.phrases[bank]))
            ]
            for bank in self._banks(template)
        }
        return Phrasing(template, words[self._turn(label, LABEL, index, len(words))], chosen)

    def phrasings(self, label: str) -> Iterator[Phrasing]:
        """Every combination of a class, in a fixed order."""
        for place in range(self.combinations(label)):
            yield self._combination(label, place)

    def combinations(self, label: str) -> int:
        """Their number."""
        return sum(math.prod(self._options(label, template)) for template in self.of(label))

    def check(self, classes: Sequence[str], attributes: Collection[str]) -> None:
        """Refuse words for classes that there are not, and placeholders that nothing fills.

        Raises:
            InputError: see above; a phrase bank named like an attribute; too many combinations.
        """
        given = {"prompts": self.own, "negative prompts": self.avoided, "synonyms": self.synonyms}
        for what, named in given.items():
            for label in named:
                if label not in classes:
                    raise InputError(
                        f"the {what} are given for '{label}'{nearest_name(label, classes)}",
                        rule=f"the classes are: {', '.join(classes)}",
                        remedy="correct the name, or leave it out",
                    )
        for bank in self.phrases:
            if bank in attributes:
                raise InputError(
                    f"the phrases '{bank}' are named like an attribute of the images",
                    rule="a placeholder is filled by a column or by phrases, not by both",
                    remedy="give the phrases another name",
                )
        for template in {one for label in classes for one in self.of(label)}:
            require_known(template, [*attributes, *self.phrases])
        if self.every:
            self._require_few(classes)

    def _require_few(self, classes: Sequence[str]) -> None:
        most = max(classes, key=self.combinations)
        if self.combinations(most) > MOST_COMBINATIONS:
            raise InputError(
                f"{self.combinations(most):,} combinations of words for class '{most}'",
                rule=f"combine: all puts at most {MOST_COMBINATIONS:,} in order",
                remedy="take 'combine: each', which uses every option equally often",
            )

    def _options(self, label: str, template: str) -> list[int]:
        """Options of each factor: the word, then each bank."""
        words = len(self.words(label)) if LABEL in placeholders(template) else 1
        return [words, *(len(self.phrases[bank]) for bank in self._banks(template))]

    def _combination(self, label: str, place: int) -> Phrasing:
        for template in self.of(label):
            options = self._options(label, template)
            if place < math.prod(options):
                word, *chosen = map(int, np.unravel_index(place, options))
                banks = {
                    bank: self.phrases[bank][one]
                    for bank, one in zip(self._banks(template), chosen, strict=True)
                }
                return Phrasing(template, self.words(label)[word], banks)
            place -= math.prod(options)
        raise IndexError("there are fewer combinations")

    def _banks(self, template: str) -> tuple[str, ...]:
        return tuple(name for name in placeholders(template) if name in self.phrases)

    def _turn(self, label: str, factor: str, index: int, options: int) -> int:
        return turn(self.seed, "wording", label, factor, index=index, options=options)


def turn(seed: int, *purpose: str | int, index: int, options: int) -> int:
    """Which of ``options`` has its turn at ``index``: each once in any lap, in a new order."""
    if options == 1:
        return 0
    lap, place = divmod(index, options)
    order = generator_for(seed, *purpose, lap).permutation(options)
    return int(order[place])
