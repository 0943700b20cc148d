"""What every generator component must satisfy; third parties run it on their own descriptor.

from synthlift.testing.generators import CHECKS

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_my_generator(check):
    check(MY_DESCRIPTOR, MyConfig(steps=5))
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthlift.errors import InputError
from synthlift.registry import ComponentConfig, Descriptor
from synthlift.testing.inputs import (
    CLASSES,
    assert_never_opened,
    drawn_inputs,
    global_random_state_untouched,
)
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    GuardedPixels,
    InputsGenerator,
    RunContext,
    SampleRequest,
    UInt8,
    Varies,
)

Check = Callable[[Descriptor, ComponentConfig], None]

PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}


def _fit(
    descriptor: Descriptor, config: ComponentConfig, *, inputs: FitInputs | None = None
) -> FittedGenerator:
    generator = descriptor.build(config)
    with tempfile.TemporaryDirectory() as folder:
        run = RunContext(folder=Path(folder), seed=5)
        fitted: FittedGenerator = generator.fit(inputs or drawn_inputs(), run=run)
    return fitted


def _load(descriptor: Descriptor, config: ComponentConfig, folder: Path) -> FittedGenerator:
    generator = descriptor.build(config)
    if isinstance(generator, InputsGenerator):
        return generator.reload(folder, inputs=drawn_inputs())
    loaded: FittedGenerator = generator.load(folder)
    return loaded


def _requests(count: int = 9) -> list[SampleRequest]:
    return [SampleRequest(index=i // 3, label=i % 3, seed=100 + i) for i in range(count)]


def _pixels(fitted: FittedGenerator, requests: Sequence[SampleRequest]) -> UInt8:
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


def gives_what_was_asked(descriptor: Descriptor, config: ComponentConfig) -> None:
    """As many images as requests, in their order, uint8 at the native size."""
    fitted, requests = _fit(descriptor, config), _requests()
    batches = list(fitted.sample(requests))
    for batch in batches:
        assert batch.pixels.dtype == np.uint8
        assert batch.pixels.shape == (len(batch.labels), *fitted.image_shape)
    labels = [int(label) for batch in batches for label in batch.labels]
    assert labels == [request.label for request in requests]
    assert not list(fitted.sample([])), "no request, yet a batch"


def request_alone_decides_pixels(descriptor: Descriptor, config: ComponentConfig) -> None:
    """A request's pixels are the same bits in any batch and any order.

    Seeds decide them; the index decides in a fixed stock, which gives each image once, and has a
    say where something takes turns, such as prompts.
    """
    fitted, requests = _fit(descriptor, config), _requests()
    together = _pixels(fitted, requests)
    backwards = _pixels(fitted, requests[::-1])[::-1]
    assert np.array_equal(together, backwards), "the order of requests changes pixels"
    for request, image in zip(requests, together, strict=True):
        assert np.array_equal(_pixels(fitted, [request])[0], image), "company changes pixels"
    _varies_alike(descriptor, fitted)
    if "stock" in descriptor.needs:
        _each_image_once(fitted)
        return
    if "turns" in descriptor.needs:
        return
    moved = _pixels(fitted, [replace(requests[0], index=77)])[0]
    assert np.array_equal(moved, together[0]), "the index, not the seed, decides pixels"
    others = _pixels(fitted, [replace(r, seed=r.seed + 1000) for r in requests])
    assert not np.array_equal(others, together), "the seed changes nothing"


def _varies_alike(descriptor: Descriptor, fitted: FittedGenerator) -> None:
    """Who can start from a picture says so, and draws each image by its request alone, too."""
    can = isinstance(fitted, Varies)
    assert can == ("picture" in descriptor.conditions), "the descriptor says otherwise of pictures"
    if not isinstance(fitted, Varies):
        return
    start, requests = np.full(fitted.image_shape, 90, np.uint8), _requests(5)

    def varied(of: Sequence[SampleRequest]) -> UInt8:
        return np.concatenate([batch.pixels for batch in fitted.vary(start, of, strength=0.6)])

    together = varied(requests)
    assert together.shape == (len(requests), *fitted.image_shape)
    assert together.dtype == np.uint8
    assert np.array_equal(varied(requests[::-1])[::-1], together), "the order changes variations"
    assert np.array_equal(varied(requests[3:4])[0], together[3]), "company changes variations"
    others = varied([replace(r, seed=r.seed + 1000) for r in requests])
    assert not np.array_equal(others, together), "the seed changes no variation"


def _each_image_once(fitted: FittedGenerator) -> None:
    """A stock ends, repeats nothing, and tests with images that training never gets."""
    drawn = {
        stream: _pixels(
            fitted,
            [SampleRequest(index=i, label=0, seed=i, stream=stream) for i in range(10_000)],
        )
        for stream in ("train", "test")
    }
    seen = [image.tobytes() for images in drawn.values() for image in images]
    assert len(drawn["train"]) < 10_000, "the stock has no end"
    assert len(set(seen)) == len(seen), "an image was given twice"


def fit_is_repeatable(descriptor: Descriptor, config: ComponentConfig) -> None:
    """The same inputs and seed give the same generator; validation is not learnt from."""
    first = _pixels(_fit(descriptor, config), _requests())
    assert np.array_equal(_pixels(_fit(descriptor, config), _requests()), first)
    other = _fit(descriptor, config, inputs=drawn_inputs(validation_seed=9))
    assert np.array_equal(_pixels(other, _requests()), first), "validation images were learnt from"


def survives_saving(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Saved, loaded and saved again: the same pixels, the same bytes, and no pickle."""
    fitted = _fit(descriptor, config)
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name, "first"), Path(name, "second")
        fitted.save(first)
        loaded = _load(descriptor, config, first)
        assert loaded.image_shape == fitted.image_shape
        assert np.array_equal(_pixels(loaded, _requests()), _pixels(fitted, _requests()))
        loaded.save(second)
        files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
        assert files, "nothing was saved"
        changed = [f for f in files if (first / f).read_bytes() != (second / f).read_bytes()]
        assert not changed, f"saving again changes {changed}"
        assert not [f for f in files if f.suffix in PICKLES], "a pickle was saved"


def leaves_global_random_state(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Fitting and sampling draw nothing from anyone else's random numbers."""
    with global_random_state_untouched():
        _pixels(_fit(descriptor, config), _requests(3))


def never_reaches_for_the_test(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Neither fitting nor sampling asks the locked test set for pixels or labels."""
    inputs = drawn_inputs()
    _pixels(_fit(descriptor, config, inputs=inputs), _requests(3))
    assert_never_opened(inputs.test)


def refuses_absent_labels(descriptor: Descriptor, config: ComponentConfig) -> None:
    """A class that does not exist – or has no image, for who learns from labels – is an error."""
    fitted = _fit(descriptor, config)
    absent = [len(CLASSES), -1]
    if "labels" in descriptor.needs:
        absent.append(CLASSES.index("never_seen"))
    for label in absent:
        try:
            drawn = list(fitted.sample([SampleRequest(index=0, label=label, seed=1)]))
        except InputError:
            continue
        if "stock" in descriptor.needs and 0 <= label < len(CLASSES) and not drawn:
            continue
        raise AssertionError(f"class {label} was drawn although nothing is known of it")


def refuses_unknown_attributes(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Who can be asked for attributes refuses those that it was not fitted on."""
    if "attributes" not in descriptor.conditions:
        return
    strange = SampleRequest(index=0, label=0, seed=1, attributes={"tnoe": "dark"})
    fitted = _fit(descriptor, config)
    said = _refusal(lambda: list(fitted.sample([strange])))
    assert said, "an attribute that nothing is known of was accepted"
    assert "tnoe" in said, "the error does not name the attribute"


def says_what_requests_may_set(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Guidance, steps and words of one's own have a say where the descriptor says so."""
    fitted, usual = _fit(descriptor, config), _requests(3)

    def drawn(**params: object) -> tuple[UInt8, tuple[str, ...]]:
        batches = list(fitted.sample([replace(one, params=params) for one in usual]))
        prompts = tuple(word for batch in batches for word in batch.prompts or ())
        return np.concatenate([batch.pixels for batch in batches]), prompts

    if "guidance" in descriptor.conditions:
        missing = {"guidance_scale", "sampler_steps"} - type(config).model_fields.keys()
        assert not missing, f"the Config says no default and no range of {', '.join(missing)}"
        steps = min(7, getattr(config, "sampler_steps", 1) + 3)
        assert not np.array_equal(drawn(sampler_steps=steps)[0], drawn()[0]), "steps change nothing"
    if "prompt" in descriptor.conditions:
        said = {"prompt": "a blue owl", "negative_prompt": "snow"}
        pixels, prompts = drawn(**said)
        assert prompts == ("a blue owl",) * len(usual), "images do not tell the words they are of"
        assert not np.array_equal(pixels, drawn()[0]), "words change nothing"


def takes_a_class_of_one_image(descriptor: Descriptor, config: ComponentConfig) -> None:
    """A class of one training image is drawn as any other, or refused by its name."""
    whole = drawn_inputs()
    labels = whole.train.labels
    rows = np.flatnonzero((labels > 0) | (np.arange(len(labels)) == 0))
    assert whole.masks is not None
    masks = GuardedPixels(whole.masks.read(rows), np.arange(len(rows)))
    inputs = replace(whole, train=whole.train.subset(rows), masks=masks)
    requests = [SampleRequest(index=i, label=0, seed=i) for i in range(5)]
    drawn: list[UInt8] = []
    said = _refusal(
        lambda: drawn.append(_pixels(_fit(descriptor, config, inputs=inputs), requests))
    )
    if said:
        assert CLASSES[0] in said, "the error does not name the class"
        return
    assert len(drawn[0]) == len(requests), "images of that class are missing"


def _refusal(call: Callable[[], object]) -> str:
    """What an ``InputError`` says, or nothing."""
    try:
        call()
    except InputError as error:
        return str(error)
    return ""


def config_survives_json(descriptor: Descriptor, config: ComponentConfig) -> None:
    """The Config survives JSON: it is part of keys."""
    assert type(config).model_validate_json(config.model_dump_json()) == config
    assert isinstance(config, descriptor.config)


CHECKS: tuple[Check, ...] = (
    gives_what_was_asked,
    request_alone_decides_pixels,
    fit_is_repeatable,
    survives_saving,
    leaves_global_random_state,
    never_reaches_for_the_test,
    refuses_absent_labels,
    refuses_unknown_attributes,
    says_what_requests_may_set,
    takes_a_class_of_one_image,
    config_survives_json,
)


def check_generator(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Run the whole suite; give a Config that fits in well under a second.

    Raises:
        AssertionError: the contract is broken; the message says how.
    """
    for check in CHECKS:
        check(descriptor, config)
