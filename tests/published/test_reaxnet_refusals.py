"""Files of ReaxNet models that do not fit each other are refused, and named."""

import numpy as np
import pytest
import yaml
from published import (
    config_of,
    write_model,
)

import openmm_pqeq as pq


def assert_refused(published, tmp_path, match, *, arrays=None, config=None, mapping=None):
    """The import ends with a message, and writes nothing."""
    files, whole = published("published irreps")
    files = write_model(
        tmp_path / "wrong",
        {**yaml.safe_load(files[1].read_text()), **(config or {})},
        arrays or whole,
    )
    if mapping is not None:
        files[2].write_text(mapping)
    with pytest.raises(ValueError, match=match):
        pq.convert_reaxnet(*files, tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_an_array_that_is_missing_too_many_or_of_another_shape_is_named(published, tmp_path):
    whole, name = published("published irreps")[1], "NequIPConvolution_1/Linear_1/w[1,3] 24x1e,4x1e"
    assert name in whole
    without = {key: array for key, array in whole.items() if key != name}
    assert_refused(
        published, tmp_path, r"w\[1,3\] 24x1e,4x1e' of shape \(24, 4\) is missing", arrays=without
    )
    assert_refused(
        published,
        tmp_path,
        r"'Extra_0/w' of shape \(3,\) has no place",
        arrays=whole | {"Extra_0/w": np.zeros(3)},
    )
    assert_refused(
        published,
        tmp_path,
        r"w\[1,3\].*must have the shape \(24, 4\) by the config, got \(4, 24\)",
        arrays=whole | {name: whole[name].T},
    )
    assert_refused(
        published,
        tmp_path,
        r"finite floating-point numbers",
        arrays=whole | {name: whole[name] * np.nan},
    )
    assert_refused(
        published,
        tmp_path,
        r"finite floating-point numbers, got dtype int64",
        arrays=whole | {name: np.zeros((24, 4), dtype=int)},
    )


def test_parameters_of_another_network_are_not_taken(published, tmp_path):
    assert_refused(
        published,
        tmp_path,
        "is missing .* the file has .*config has no place for",
        config={"hidden_irreps": "8x0e + 4x1o + 2x2e", "sh_irreps": "0e + 1o + 2e"},
    )
    assert_refused(
        published, tmp_path, "NequIPConvolution_2.* is missing", config={"graph_net_steps": 3}
    )
    assert_refused(
        published, tmp_path, "NequIPConvolution_1.* has no place", config={"graph_net_steps": 1}
    )
    assert_refused(published, tmp_path, "FullyConnected.* has no place", config={"use_sc": False})


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"learning_rate": 0.1}, "unknown key 'learning_rate'; the keys"),
        ({"r_max": -1.0}, "r_max must be positive, got -1"),
        ({"r_max": "five"}, "r_max must be a number, got 'five'"),
        ({"graph_net_steps": 2.5}, "graph_net_steps must be a whole number, got 2.5"),
        ({"use_sc": "yes please"}, "use_sc must be true or false"),
        ({"hidden_irreps": "8x0x"}, "hidden_irreps must be irreps such as"),
        ({"hidden_irreps": "4x1o"}, "must have even scalars"),
        ({"hidden_irreps": "1x0e + 4x1e"}, "the last at least two"),
        ({"sh_irreps": "2x0e + 1x1e"}, "multiplicity one"),
        ({"nonlinearities": {"e": "swish", "o": "tanh"}}, "'swish' is not supported"),
        ({"nonlinearities": {"e": "silu"}}, "keys e and o"),
        (
            {"hidden_irreps": "8x0e + 4x0o", "nonlinearities": {"e": "silu", "o": "silu"}},
            "odd scalars need 'tanh'",
        ),
        ({"radial_net_nonlinearity": "relu"}, "radial_net_nonlinearity: 'relu' is not supported"),
        ({"scale": None}, "scale must be a number, got None"),
    ],
)
def test_a_config_that_is_not_understood_is_refused_by_its_key(published, tmp_path, config, match):
    assert_refused(published, tmp_path, match, config=config)


def test_a_missing_key_is_named(published, tmp_path):
    files = published("published irreps")[0]
    config = {
        key: value for key, value in config_of("published irreps").items() if key != "n_neighbors"
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="n_neighbors is missing"):
        pq.convert_reaxnet(files[0], tmp_path / "config.yaml", files[2], tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("mapping", "match"),
    [
        ("1: 1\n3: 2\n", "it has 2 elements, and n_elements 7 of .* needs 6"),
        ("Li: 1\n", "atomic numbers from 1 to 118, got 'Li'"),
        ("0: 1\n", "atomic numbers"),
        ("[1, 2]", "expected lines 'key: value'"),
        ("a: [", "not a plain YAML file"),
        ("!!python/object/apply:os.system ['touch executed']", "not a plain YAML file"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(published, tmp_path, monkeypatch, mapping, match):
    monkeypatch.chdir(tmp_path)
    assert_refused(published, tmp_path, match, mapping=mapping)
    assert not (tmp_path / "executed").exists()


def test_wrong_choices_are_refused_before_anything_is_written(published, tmp_path):
    with pytest.raises(
        ValueError, match="edge_sign must be 'training' or 'notebook', got 'forward'"
    ):
        pq.convert_reaxnet(
            *published("published irreps")[0], tmp_path / "model.pt", edge_sign="forward"
        )
    assert not (tmp_path / "model.pt").exists()
