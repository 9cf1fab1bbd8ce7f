"""Imported ReaxNet models: the same energies and forces as the published code, whatever the irreps."""

import numpy as np
import pytest
import torch
import yaml
from published import (
    BASE,
    ELEMENTS,
    MODELS,
    write_model,
)

import openmm_pqeq as pq
from openmm_pqeq import checkpoint
from openmm_pqeq.published.reaxnet.layout import expected_shapes
from openmm_pqeq.published.reaxnet.settings import read_settings

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
