"""Texts are encoded once and by themselves, whatever they are drawn beside."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from synthlift.generators.pipelines.memory import TextMemory

FOUND = ("last_hidden_state", "pooler_output")


@pytest.fixture(scope="module")
def encoder(tiny_pipeline: Path) -> torch.nn.Module:
    from transformers import CLIPTextModel

    model: torch.nn.Module = CLIPTextModel.from_pretrained(tiny_pipeline / "text_encoder")
    return model.train(False)


@torch.inference_mode()
def test_what_is_remembered_is_what_the_encoder_says(encoder: torch.nn.Module) -> None:
    ids = torch.randint(0, 50, (3, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    memory = TextMemory(encoder.forward, most_bytes=2**20)
    for output_hidden_states in (False, True):
        told = memory(ids, attention_mask=mask, output_hidden_states=output_hidden_states)
        plain = encoder(ids, attention_mask=mask, output_hidden_states=output_hidden_states)
        for name in FOUND:
            assert torch.allclose(told[name], plain[name], atol=1e-5)
            assert torch.equal(told[name][1:2], encoder(ids[1:2], attention_mask=mask[1:2])[name])
        assert (told.hidden_states is None) is not output_hidden_states
    assert len(told.hidden_states) == len(plain.hidden_states)
    assert torch.allclose(told.hidden_states[-1], plain.hidden_states[-1], atol=1e-5)


@torch.inference_mode()
def test_what_is_kept_of_a_decoder_is_what_it_says_and_no_more() -> None:
    from transformers import Gemma2Config, Gemma2Model

    config = Gemma2Config(
        vocab_size=50,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
    )
    decoder = Gemma2Model(config).train(False)
    ids, mask = torch.arange(12)[None], torch.ones(1, 12, dtype=torch.int64)
    plain = decoder(ids, attention_mask=mask)
    assert plain.past_key_values is not None
    memory = TextMemory(decoder.forward, most_bytes=2**20)
    told = memory(ids, attention_mask=mask)
    assert told.get("past_key_values") is None
    assert torch.equal(told.last_hidden_state, plain.last_hidden_state)


@torch.inference_mode()
def test_each_text_is_encoded_once_until_memory_is_full(encoder: torch.nn.Module) -> None:
    rows: list[int] = []

    def counting(ids: torch.Tensor, **further: object) -> object:
        rows.append(len(ids))
        return encoder.forward(ids, **further)

    ids = torch.arange(2 * 16).reshape(2, 16) % 50
    memory = TextMemory(counting, most_bytes=2**20)
    first = memory(ids[[0, 1, 0]])
    assert rows == [1, 1]
    again = memory(ids[[1]])
    assert rows == [1, 1]
    assert torch.equal(again[0], first[0][1:2])
    small = TextMemory(counting, most_bytes=1)
    assert len(small(ids[[0, 1, 0, 1]])[0]) == 4
    del rows[:]
    small(ids[[1]])
    small(ids[[0]])
    assert rows == [1], "the last text is kept, the other one was forgotten"
