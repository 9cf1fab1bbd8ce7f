"""Keys: the same for the same content, another one for whatever a result may depend on."""

import pytest
import torch
from small import network
from torch import nn

from openmm_pqeq import ops
from openmm_pqeq.start import content


def key_of(module, weights=True):
    return content.key("table", content.lines_of(module, weights))


def test_equal_content_has_equal_keys():
    assert key_of(network()) == key_of(network())


def test_weights_settings_and_parts_are_told_apart():
    model = network()
    keys = {key_of(model)}
    with torch.no_grad():
        model.interactions[1].radial.weights[0][0, 0] += 1e-15
    keys.add(key_of(model))
    model.interactions[0].avg_neighbors += 1e-9
    keys.add(key_of(model))
    model.interactions[0].gate.activations[0].name = "tanh"
    keys.add(key_of(model))
    keys.add(key_of(model.to(torch.float32)))
    assert len(keys) == 5


def test_without_weights_only_the_settings_count():
    model, other = network(), network()
    with torch.no_grad():
        other.embedding += 1.0
    assert key_of(model, weights=False) == key_of(other, weights=False)
    assert key_of(model, weights=False) != key_of(other.to(torch.float32), weights=False)


@pytest.mark.parametrize(
    ("of", "name", "value"),
    [
        (torch, "__version__", "2.9.2"),
        (torch.backends.cpu, "get_cpu_capability", lambda: "AVX2"),
        (content, "sources", lambda: "other sources"),
        (content.versions, "installed", lambda package: "0.0"),
        (ops, "library", lambda: None),
    ],
)
def test_surroundings_are_part_of_a_key(monkeypatch, of, name, value):
    before = content.key("table", "content")
    monkeypatch.setattr(of, name, value)
    if name == "library" and not ops.available():
        monkeypatch.setattr(of, name, lambda: content.Path(__file__))
    content.surroundings.cache_clear()
    assert content.key("table", "content") != before
    monkeypatch.undo()
    content.surroundings.cache_clear()
    assert content.key("table", "content") == before


def test_lines_cannot_be_mistaken_for_others():
    assert content.key("table", "a", "b") != content.key("table", "ab")
    assert content.key("table", ["a", "b"]) == content.key("table", "a", "b")


def test_what_no_text_describes_has_no_key():
    module = nn.Linear(1, 1)
    module.function = lambda x: x
    with pytest.raises(content.Unknown, match="lambda"):
        key_of(module)
    module.function = object()
    with pytest.raises(content.Unknown, match="object"):
        key_of(module)


def test_values_that_print_alike_are_told_apart():
    values = [1, 1.0, True, "1", [1], (1,), {1: 1}, {1}, torch.tensor(1), torch.tensor([1]), None]
    assert len({content.described(value) for value in values}) == len(values)
    assert content.described(0.1 + 0.2) != content.described(0.3)
    assert content.described({"b", "a"}) == content.described({"a", "b"})
