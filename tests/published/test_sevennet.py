"""Imported SevenNets: the energies of the same network in e3nn, and of the published one in sevenn;
and wrong files are named."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sevennet import CHECKPOINTS, Network

import openmm_pqeq as pq
from openmm_pqeq import checkpoint
from openmm_pqeq.cli import main
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.published.sevennet import models
from openmm_pqeq.structure import structure_of

pytestmark = pytest.mark.python_route

ENERGY, FORCE, STRESS = 1e-10, 1e-8, 1e-10
"""eV/atom, eV/Å, eV/Å³: what an import may differ by; found: 1e-14."""

REFERENCE = json.loads(Path(__file__).with_name("sevennet_reference.json").read_text("utf-8"))
MF = "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth"
PUBLISHED = {
    "sevennet-0": None,
    "sevennet-l3i5": None,
    "SevenNet_0__22May2024": ("SevenNet_0__22May2024/checkpoint_sevennet_0.pth", None),
    "SevenNet_MF_0 PBE": (MF, "PBE"),
    "SevenNet_MF_0 R2SCAN": (MF, "R2SCAN"),
}


@pytest.fixture(scope="module")
def network():
    """name → the network in e3nn; made once each."""
    made = {}

    def network(name):
        if name not in made:
            made[name] = Network(name)
        return made[name]

    return network


@pytest.fixture(scope="module")
def structure():
    cell = torch.tensor([[4.2, 0.0, 0.0], [0.5, 4.4, 0.0], [-0.4, 0.6, 4.9]], dtype=torch.float64)
    positions = torch.tensor(np.random.RandomState(5).uniform(size=(6, 3))) @ cell
    return structure_of(positions, torch.tensor([56, 22, 8, 8, 1, 8]), cell)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_energies_of_the_same_network_in_e3nn(name, network, structure, tmp_path):
    theirs = network(name)
    pairs = NeighborSearch(theirs.config["cutoff"])(structure)
    for modality, mode in theirs.config.get("_modal_map", {None: 0}).items():
        expected = theirs(structure.numbers, pairs, mode).detach()
        pq.convert_sevennet(theirs.write(tmp_path / "c.pth"), tmp_path / "model.pt", modality)
        found = pq.load(tmp_path / "model.pt").evaluate(structure).atomic_energies
        assert expected.std() > 0.1  # eV: all of it matters
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["like SevenNet-0", "like SevenNet-0 of May", "like MF-0"])
def test_made_for_inference_it_gives_the_same_forces(name, network, structure, tmp_path):
    modality = "PBE" if name == "like MF-0" else None
    potential = pq.convert_sevennet(
        network(name).write(tmp_path / "c.pth"), tmp_path / "model.pt", modality
    )
    exact, fast = (p.evaluate(structure) for p in (potential, potential.compile_for_inference()))
    size = exact.forces.abs().max()
    assert (fast.forces - exact.forces).abs().max() < 1e-8 * size


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What XDG_CACHE_HOME may be: a cache that holds the published wheel, which pip has in its own
    cache after the first time."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "openmm_pqeq").mkdir()
    try:
        models.download_wheel("sevennet-0", folder / "openmm_pqeq", folder / "model.pt")
    except ConnectionError as error:
        pytest.skip(f"needs the wheel of sevenn: {error}")
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_energies_forces_and_stress_of_the_published_models(name, cache, tmp_path):
    if PUBLISHED[name] is None:
        file = models.model_file(name, cache / "openmm_pqeq", say=lambda line: None)
        potential = checkpoint.load(file)
    else:
        path, modality = PUBLISHED[name]
        with zipfile.ZipFile(cache / "openmm_pqeq" / models.WHEEL) as wheel:
            content = wheel.read(f"sevenn/pretrained_potentials/{path}")
        (tmp_path / "c.pth").write_bytes(content)
        potential = pq.convert_sevennet(tmp_path / "c.pth", tmp_path / "model.pt", modality)
    for label, expected in REFERENCE["models"][name].items():
        quoted = REFERENCE["structures"][label]
        structure = structure_of(
            torch.tensor(quoted["positions"], dtype=torch.float64),
            torch.tensor(quoted["numbers"]),
            torch.tensor(quoted["cell"], dtype=torch.float64),
        )
        found = potential.evaluate(structure, stress=True)
        stress = found.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        assert abs(float(found.energy) - expected["energy"]) < ENERGY * len(quoted["numbers"])
        np.testing.assert_allclose(found.forces, expected["forces"], rtol=0, atol=FORCE)
        np.testing.assert_allclose(stress, expected["stress"], rtol=0, atol=STRESS)


def test_a_model_of_the_cache_needs_no_network(cache, monkeypatch, capsys):
    models.model_file("sevennet-0", cache / "openmm_pqeq", say=lambda line: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    potential = pq.load("sevennet-0")
    card = checkpoint.card("sevennet-0")
    assert len(potential.species) == 89
    assert (card["title"], card["licence"]) == (
        "SevenNet-0 (11 July 2024)",
        "MIT, Copyright (c) 2024 Yutack Park",
    )
    assert checkpoint.at_hand("sevennet-0")
    assert 3e6 < models.cached_file("sevennet-0").stat().st_size < 5e6
    assert main(["models", "download", "sevennet-0"]) == 0
    assert "needs no network any more" in capsys.readouterr().out


def test_the_example_of_the_documentation(cache, monkeypatch, capsys):
    models.model_file("sevennet-0", cache / "openmm_pqeq", say=lambda line: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    page = Path(__file__).parents[2] / "docs" / "sevennet.md"
    code = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, page.name, "exec"), {})
    assert "eV/Å³" in capsys.readouterr().out


def test_the_card_and_the_size_of_a_file(network, tmp_path):
    theirs = network("like SevenNet-0")
    pq.convert_sevennet(theirs.write(tmp_path / "c.pth"), tmp_path / "model.pt")
    card = checkpoint.card(tmp_path / "model.pt")
    assert card["imported"].startswith("c.pth, sha256 ")
    assert card["licence"] == "that of the imported checkpoint"
    assert card["weights"] == sum(
        tensor.numel()
        for name, tensor in theirs.tensors().items()
        if "w3j" not in name and "mask" not in name
    )
    content = torch.load(tmp_path / "model.pt", weights_only=True)["weights"]
    exact = [name for name, value in content.items() if value.dtype == torch.float32]
    assert any("self_connection" in name for name in exact)
    assert any("down" in name for name in exact)
    assert any("radial.weights.2" in name for name in exact)


# Wrong files


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (
            {"self_connection_type": "nequip"},
            "self_connection_type is 'nequip', and only .*'linear'",
        ),
        ({"is_parity": True}, "is_parity is True"),
        ({"interaction_type": "mace"}, "interaction_type is 'mace'"),
        ({"readout_as_fcn": True}, "readout_as_fcn is True"),
        ({"lmax_edge": 1}, "lmax_edge is 1"),
        ({"act_scalar": {"e": "relu"}}, "act_scalar is .*relu"),
        ({"radial_basis": {"radial_basis_name": "gaussian"}}, "radial_basis is .*gaussian"),
        (
            {"cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.0}},
            "cutoff_function",
        ),
        (
            {"cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 5}},
            "p = 6, can be imported",
        ),
        ({"irreps_manual": False}, "irreps_manual is False, which cannot be imported"),
        ({"irreps_manual": ["6x0e", "6x0e+4x1e", "6x0e+2x1e", "6x0e"]}, "the same features"),
        ({"irreps_manual": ["6x0e", "6x0e"]}, "irreps_manual has 2 items"),
        ({"lmax": 3}, "lmax is 3"),
        ({"num_convolution_layer": 0}, "num_convolution_layer must be positive"),
        ({"_type_map": {1: 0, 300: 1}}, "_type_map must number the elements"),
        ({"use_modality": True, "_modal_map": {"PBE": 5}}, "_modal_map must number"),
        ({"use_modality": True}, "_modal_map is missing"),
        ({"_type_map": {1: 0, 8: "one"}}, "not supported between"),
        ({"_type_map": {1: 0, 8: 1}}, "'onehot_to_feature_x.linear.weight' must have the shape"),
        ({"cutoff": "far"}, "cutoff is 'far', which cannot be imported"),
    ],
)
def test_another_architecture_is_refused_by_its_name(config, match, network, tmp_path):
    file = network("like SevenNet-0").write(tmp_path / "c.pth", config=config)
    with pytest.raises(ValueError, match=match):
        pq.convert_sevennet(file, tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


W3J = "1_convolution.convolution._compiled_main_left_right._w3j_1_2_2"


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"1_zbl.weight": torch.ones(3)}, r"'1_zbl.weight' of shape \(3,\) has no place"),
        ({"1_self_interaction_2.linear.bias": torch.ones(3)}, "has no place"),
        ({"0_convolution.denominator": None}, r"'0_convolution.denominator' .*is missing"),
        ({"rescale_atomic_energy.scale": torch.full((4,), torch.nan)}, "not finite"),
        ({"rescale_atomic_energy.scale": torch.ones(4, dtype=torch.int64)}, "floating-point"),
        ({W3J: None}, "'1_convolution.*_w3j_1_2_2' is missing"),
        ({W3J: torch.ones(3, 5, 5)}, "is not a Wigner symbol"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tensors, match, network, tmp_path):
    file = network("like SevenNet-0").write(tmp_path / "c.pth", tensors=tensors)
    with pytest.raises(ValueError, match=match):
        pq.convert_sevennet(file, tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_modalities_are_chosen_by_name(network, tmp_path):
    several = network("like MF-0").write(tmp_path / "several.pth")
    one = network("like SevenNet-0").write(tmp_path / "one.pth")
    for file, modality, match in (
        (several, None, "modality: which one.* R2SCAN, PBE"),
        (several, "PBEsol", "expected one of R2SCAN, PBE, got 'PBEsol'"),
        (one, "PBE", "this model has none, got 'PBE'"),
    ):
        with pytest.raises(ValueError, match=match):
            pq.convert_sevennet(file, tmp_path / "model.pt", modality)
    assert not (tmp_path / "model.pt").exists()


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    torch.save({"config": {}, "model_state_dict": Evil()}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"refused, because it would call .*print"):
        pq.convert_sevennet(tmp_path / "c.pth", tmp_path / "model.pt")
    assert "executed" not in capsys.readouterr().out


def test_files_that_are_no_checkpoints(tmp_path):
    (tmp_path / "noise.pth").write_bytes(b"noise" * 40)
    torch.save({"weights": 1}, tmp_path / "other.pth")
    for name, match in (("noise", "refused|cannot be read"), ("other", "not one of SevenNet")):
        with pytest.raises(ValueError, match=match):
            pq.convert_sevennet(tmp_path / f"{name}.pth", tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        pq.convert_sevennet(tmp_path / "missing.pth", tmp_path / "model.pt")


def test_command_line(network, tmp_path, capsys):
    file, output = network("like MF-0").write(tmp_path / "c.pth"), tmp_path / "model.pt"
    arguments = ["import-sevennet", str(file), "-o", str(output), "--modality", "PBE"]
    assert main(arguments) == 0
    out = " ".join(capsys.readouterr().out.split())
    for fact in ("An imported SevenNet, PBE", "4: H O Ti Ba", "layers 3", "cutoff 4 Å"):
        assert fact in out
    assert main(arguments) == 2
    assert "exists. Choose another name, or replace it with --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


# Models at hand


def test_without_network_it_is_said_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(models, "_installed", lambda path: None)
    with pytest.raises(ConnectionError, match="models download sevennet-0' and copy the file"):
        pq.load("sevennet-0")
    assert "sevennet-0" in pq.available_models(published=True)
    assert not checkpoint.at_hand("sevennet-0")
    assert list(models.cached_file("sevennet-0").parent.iterdir()) == []


def test_a_wheel_that_is_another_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_installed", lambda path: None)
    (tmp_path / models.WHEEL).write_bytes(b"another")
    with pytest.raises(ValueError, match="SHA-256 .* damaged or was replaced: remove"):
        models.model_file("sevennet-0", tmp_path, say=lambda line: None)
    assert not models.cached_file("sevennet-0", tmp_path).exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(OSError, match=r"cache: .* cannot be written .*XDG_CACHE_HOME"):
        models.model_file("sevennet-0", tmp_path / "cache")


def test_an_installed_sevenn_serves_where_its_checkpoint_is_the_published_one(
    network, tmp_path, monkeypatch
):
    package = tmp_path / "site" / "sevenn" / "__init__.py"
    file = package.parent.parent / models.MODELS["sevennet-0"].path
    file.parent.mkdir(parents=True)
    package.write_text("raise RuntimeError('imported')")
    network("like SevenNet-0").write(file)
    monkeypatch.syspath_prepend(str(package.parent.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ConnectionError):  # another checkpoint: the wheel is asked for
        models.model_file("sevennet-0", tmp_path / "cache", say=lambda line: None)
    same = models.MODELS["sevennet-0"]._replace(sha256=models.sha256(file))
    monkeypatch.setitem(models.MODELS, "sevennet-0", same)
    path = models.model_file("sevennet-0", tmp_path / "cache", say=lambda line: None)
    assert path == models.cached_file("sevennet-0", tmp_path / "cache")
    assert checkpoint.load(path).species == ["H", "O", "Ti", "Ba"]
    assert sorted(item.name for item in path.parent.iterdir()) == [path.name]


def test_a_download_takes_no_options_of_other_models(tmp_path, capsys):
    arguments = ["models", "download", "sevennet-0", "--cache", str(tmp_path)]
    assert main([*arguments, "--d3"]) == 2
    assert "--d3: means nothing for sevennet-0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
