"""Imported ReaxNet models: the same energies and forces as the published code, whatever the irreps;
and wrong files are named."""

import pickle

import numpy as np
import pytest
import torch
import yaml
from published import (
    BASE,
    CELL,
    ELEMENTS,
    MODELS,
    NUMBERS,
    POSITIONS,
    config_of,
    draw,
    tree_of,
    write_model,
)

import openmm_pqeq as pq
from openmm_pqeq import checkpoint
from openmm_pqeq.cli import main
from openmm_pqeq.published.reaxnet.layout import expected_shapes
from openmm_pqeq.published.reaxnet.settings import read_settings
from openmm_pqeq.structure import structure_of

pytestmark = pytest.mark.python_route

# Energies of the five atoms (eV), force on the first (eV/Å), and the sum of the energies with the
# edges of the notebook. Made with jax-md 0.2.8 (its NequIP is the one that the published models
# were trained with; Apache-2.0), e3nn-jax 0.20.7, jax 0.4.20, float64; it reproduces reference
# energies of the published code (a model of three layers on water and LiPON) to 4e-15 eV.
QUOTED = {
    "published irreps": (
        [-1.064594405, -0.916179563, -0.516408418, -0.747532446, -0.640531131],
        [-0.183590372, -0.100144901, -0.123765906],
        -3.885245963,
    ),
    "odd irreps": (
        [-0.657363578, -1.069808, -0.655517946, -1.05976857, -0.675866183],
        [-0.0502221, -0.129206647, -0.125497473],
        -4.118324277,
    ),
    "no self-connection": (
        [-0.755573451, -0.754562875, -0.753744273, -0.749868753, -0.749134323],
        [-0.016231488, -0.032176153, 0.001719978],
        -3.762883673,
    ),
    "one layer": (
        [-0.73100903, -0.800747386, -1.283275463, -1.501845323, -1.035206239],
        [0.084254593, 0.031652685, 0.069976736],
        -5.352083441,
    ),
    "six layers": (
        [-0.48681409, -0.798787043, -0.505604547, -0.777761, 0.26856557],
        [-0.37455047, -0.20683518, 0.255792304],
        -2.300098607,
    ),
    "irreps in pieces": (
        [-1.581010697, -1.729910543, -0.781407229, -0.531770072, -0.466707395],
        [-2.418043699, -1.545008378, -0.242281204],
        -5.090805937,
    ),
    "harmonics in another order": (
        [-2.594121203, -0.733420215, -0.599895238, -0.544369988, -1.482770272],
        [0.372262376, 0.006093482, 0.339712354],
        -5.954576916,
    ),
    "linear radial networks": (
        [-0.661340401, -0.577632542, -1.007106456, -0.473641636, -1.403352279],
        [-0.226587379, -0.198014675, 0.101269407],
        -4.123073315,
    ),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """name → (the three files, the arrays in them); made once each."""
    made = {}

    def published(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("published")
            files = write_model(folder, config_of(name), {})
            arrays = draw(expected_shapes(read_settings(*files[1:])), config_of(name))
            made[name] = write_model(folder, config_of(name), arrays), arrays
        return made[name]

    return published


@pytest.fixture(scope="module")
def structure():
    return structure_of(torch.tensor(POSITIONS), torch.tensor(NUMBERS), torch.tensor(CELL))


@pytest.mark.parametrize("name", MODELS)
def test_energies_and_forces_of_the_published_code(name, published, structure, tmp_path):
    energies, force, notebook = QUOTED[name]
    pq.convert_reaxnet(*published(name)[0], tmp_path / "model.pt", edge_sign="training")
    found = pq.load(tmp_path / "model.pt").select("gnn").evaluate(structure)
    np.testing.assert_allclose(
        found.atomic_energies, energies, rtol=0, atol=2e-9
    )  # eV; quoted to 1e-9
    np.testing.assert_allclose(found.forces[0], force, rtol=0, atol=2e-9)
    pq.convert_reaxnet(*published(name)[0], tmp_path / "model.pt", edge_sign="notebook")
    found = pq.load(tmp_path / "model.pt").select("gnn").evaluate(structure)
    assert abs(float(found.energy) - notebook) < 5e-9


def test_the_direction_of_edges_matters_where_vectors_are_labelled_even():
    difference = {
        name: abs(sum(QUOTED[name][0]) - QUOTED[name][2])
        for name in ("six layers", "irreps in pieces", "odd irreps")
    }
    assert difference["six layers"] > 1e-4
    assert max(difference["irreps in pieces"], difference["odd irreps"]) < 1e-8


def test_names_and_shapes_are_those_of_the_published_files(tmp_path):
    """A few of those of '128x0e + 64x1e + 4x2e' with 94 elements, from a parameter tree of the
    published code."""
    config = {
        **BASE,
        "hidden_irreps": "128x0e + 64x1e + 4x2e",
        "graph_net_steps": 5,
        "radial_net_n_hidden": 64,
        "n_elements": 95,
    }
    shapes = expected_shapes(read_settings(*write_model(tmp_path, config, {}, range(1, 95))[1:]))
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 14_150_344
    known = {
        "Linear_0/w[0,0] 95x0e,128x0e": (95, 128),
        "NequIPConvolution_0/FullyConnectedTensorProductE3nn_0/w[0,0,0] 128x0e,95x0e,196x0e": (
            128,
            95,
            196,
        ),
        "NequIPConvolution_0/Linear_1/w[2,4] 128x2e,4x2e": (128, 4),
        "NequIPConvolution_4/FullyConnectedTensorProductE3nn_0/w[1,0,1] 64x1e,95x0e,64x1e": (
            64,
            95,
            64,
        ),
        "NequIPConvolution_4/Linear_1/w[1,3] 328x1e,64x1e": (328, 64),
        "NequIPConvolution_4/MLP_0/Dense_2/kernel": (64, 792),
        "Linear_2/w[0,0] 64x0e,1x0e": (64, 1),
    }
    assert {name: shapes.get(name) for name in known} == known


def test_one_hot_columns_follow_the_atomic_numbers_not_the_values_of_the_mapping(
    published, structure, tmp_path
):
    files = published("published irreps")[0]
    shuffled = tmp_path / "mapping.yaml"
    shuffled.write_text(yaml.safe_dump(dict(zip(reversed(ELEMENTS), range(6))), sort_keys=False))
    energies = [
        pq.convert_reaxnet(*files[:2], mapping, tmp_path / "model.pt")
        .select("gnn")
        .evaluate(structure)
        .energy
        for mapping in (files[2], shuffled)
    ]
    assert energies[0] == energies[1]


def test_the_long_range_part_is_the_published_protocol(published, structure, tmp_path):
    potential = pq.convert_reaxnet(*published("published irreps")[0], tmp_path / "model.pt")
    plain = pq.build(
        {
            "pqeq": {
                "protocol": "reaxnet",
                "parameters": "reaxnet",
                "cutoff": 12.5,
                "sweeps": 2,
                "stop_gradient": True,
            }
        }
    )
    found, expected = potential.select("pqeq").evaluate(structure), plain.evaluate(structure)
    assert torch.equal(found.charges, expected.charges)
    assert torch.equal(found.forces, expected.forces)
    assert set(potential.evaluate(structure).terms) == {"gnn", "pqeq"}


def test_forces_without_stop_gradient_are_the_slope_of_the_energy(published, structure, tmp_path):
    made = {}
    for stop_gradient in (True, False):
        pq.convert_reaxnet(
            *published("published irreps")[0], tmp_path / "model.pt", stop_gradient=stop_gradient
        )
        made[stop_gradient] = pq.load(tmp_path / "model.pt")
        assert checkpoint.card(tmp_path / "model.pt")["stop_gradient"] is stop_gradient
    step = torch.zeros_like(structure.positions)
    step[0, 0] = 1e-4
    ends = [
        made[False].evaluate(structure._replace(positions=structure.positions + sign * step)).energy
        for sign in (1, -1)
    ]
    slope = float(ends[0] - ends[1]) / 2e-4
    exact, published_forces = (made[choice].evaluate(structure) for choice in (False, True))
    assert exact.energy == published_forces.energy
    assert abs(float(exact.forces[0, 0]) + slope) < 1e-6  # eV/Å; second-order differences
    assert (exact.forces - published_forces.forces).abs().max() > 1e-3


def test_dispersion_is_that_of_the_published_example(published, structure, tmp_path):
    potential = pq.convert_reaxnet(
        *published("published irreps")[0], tmp_path / "model.pt", d3=True
    )
    settings = pq.load(tmp_path / "model.pt").config["d3"]
    assert settings["species"] == [
        checkpoint.load(tmp_path / "model.pt").species[k] for k in range(6)
    ]
    assert (
        settings["damping"],
        settings["functional"],
        settings["cutoff"],
        settings["cn_cutoff"],
    ) == ("zero", "pbe", 12.5, 12.5)
    assert (settings["smoothing_width"], settings["constants"]) == (0.0, "reaxnet")
    assert potential.evaluate(structure).terms["d3"] < 0


def test_the_card_says_what_was_imported(published, tmp_path):
    pq.convert_reaxnet(
        *published("odd irreps")[0], tmp_path / "model.pt", edge_sign="notebook", d3=True
    )
    card = checkpoint.card(tmp_path / "model.pt")
    assert (card["edge_sign"], card["stop_gradient"]) == ("notebook", True)
    assert "10.6084/m9.figshare.28407524" in card["source"]
    assert set(card["imported"]) == {"parameters", "model config", "mapping"}
    assert card["imported"]["parameters"].startswith("params.pickle, sha256 ")
    assert card["weights"] == sum(array.size for array in published("odd irreps")[1].values())


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


def run(capsys, *arguments):
    code = main(["import-reaxnet", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, " ".join(captured.out.split()), " ".join(captured.err.split())


def test_command_line(published, structure, tmp_path, capsys):
    files, output = published("odd irreps")[0], tmp_path / "model.pt"
    code, out, err = run(
        capsys, *files, "-o", output, "--edge-sign", "notebook", "--d3", "--no-stop-gradient"
    )
    assert (code, err) == (0, "")
    for fact in (
        "6: H Li N O P La",
        "layers 3",
        "8x0e+4x0o+4x1e+4x1o",
        "receiver − sender",
        "minus the gradient of the energy",
        "D3, zero damping, PBE",
    ):
        assert fact in out.replace(" + ", "+"), fact
    potential = pq.load(output)
    assert potential.config["gnn"]["edge_sign"] == "notebook"
    assert not potential.config["pqeq"]["stop_gradient"]
    assert potential.evaluate(structure).terms["d3"] < 0
    before = output.read_bytes()
    code, _, err = run(capsys, *files, "-o", output)
    assert code == 2
    assert "exists. Choose another name, or replace it with --overwrite" in err
    assert output.read_bytes() == before
    assert run(capsys, *files, "-o", output, "--overwrite")[0] == 0
    assert pq.load(output).config["pqeq"]["stop_gradient"] is True


def test_command_line_with_wrong_files(published, tmp_path, capsys):
    files, output = published("odd irreps")[0], tmp_path / "model.pt"
    assert run(capsys, "nothing.pickle", *files[1:], "-o", output)[0] == 2
    assert "there is no folder" in run(capsys, *files, "-o", tmp_path / "nowhere" / "model.pt")[2]
    evil = tmp_path / "evil.pickle"
    evil.write_bytes(
        pickle.dumps(tree_of(published("odd irreps")[1]))[:-1]
        + b"0cos\nsystem\n(Vtouch executed\ntR."
    )
    code, _, err = run(capsys, evil, *files[1:], "-o", output)
    assert code == 2
    assert "refused, because it would import os.system" in err
    assert not output.exists()
