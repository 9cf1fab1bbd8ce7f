"""Universal models: the network's numbers without a field, PQEq's answer in one."""

import pytest
import torch
from laws import close
from pqeq_potentials import TIGHT
from sevennet import Network
from structures import FIELD, perovskite, tensor

import openmm_pqeq as pq
from openmm_pqeq import checkpoint
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.parameters import resolve_parameters
from openmm_pqeq.published import universal
from openmm_pqeq.published.sevennet import models
from openmm_pqeq.structure import structure_of

pytestmark = pytest.mark.python_route


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A file of a small SevenNet."""
    folder = tmp_path_factory.mktemp("network")
    pq.convert_sevennet(Network("like SevenNet-0").write(folder / "c.pth"), folder / "network.pt")
    return folder / "network.pt"


@pytest.fixture
def at_hand(network, tmp_path, monkeypatch):
    """A cache in which that file is SevenNet-0."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    file = models.cached_file("sevennet-0")
    file.parent.mkdir(parents=True)
    file.write_bytes(network.read_bytes())


def test_without_a_field_it_is_the_network_and_in_one_pqeq_is_added(at_hand, network):
    whole, base = pq.load("universal"), pq.load(network)
    resting = perovskite()._replace(only_energy=True)
    found, wanted = (p.evaluate(resting, stress=True) for p in (whole, base))
    for name in ("energy", "forces", "stress"):  # summed in another order: bonds reach farther
        close(getattr(found, name), getattr(wanted, name), 1e-12, name)
    settings = {"protocol": "pme", "parameters": "response", "charge_flow": "bonds"}
    plain = build({"pqeq": {**settings, "tolerance": TIGHT}})
    charges = {8: -2.0, 22: 4.0, 56: 2.0}

    def at(field):
        structure = perovskite(0.0, field)
        reference = [charges[z] for z in structure.numbers.tolist()]
        return structure._replace(reference_charges=tensor(reference))

    inside, outside = (plain.evaluate(at(field)) for field in (FIELD, None))
    tight = whole.configured(tolerance=TIGHT).evaluate(at(FIELD))
    close(tight.energy - wanted.energy, inside.energy - outside.energy, 1e-9, "energy")
    close(tight.forces - wanted.forces, inside.forces - outside.forces, 1e-8, "forces")
    close(tight.charges, inside.charges, 1e-8, "charges")


def test_atoms_that_are_too_close_repel_and_others_have_the_networks_numbers(at_hand, network):
    whole, base = pq.load("universal"), pq.load(network)
    assert whole.config["zbl"]["of_radii"]
    for share in (0.3, 0.5, 0.625):
        distance = share * 2 * 0.66  # Å, of O–O
        places = tensor([[0, 0, 0], [distance, 0, 0]])
        pair = structure_of(places, torch.tensor([8, 8]))._replace(only_energy=True)
        found, wanted = whole.evaluate(pair), base.evaluate(pair)
        push = float((found.forces - wanted.forces)[1, 0])
        if share > 0.62:
            assert torch.equal(found.energy, wanted.energy)
            assert push == 0.0
        else:
            assert float(found.energy - wanted.energy) > 30.0
            assert push > 100.0


def test_it_is_composed_once_and_needs_no_network_then(at_hand, capsys):
    assert checkpoint.at_hand("universal")
    assert not checkpoint.at_hand("universal-l3i5")
    assert main(["models", "download", "universal"]) == 0
    assert "needs no network any more" in capsys.readouterr().out
    models.cached_file("sevennet-0").unlink()
    assert checkpoint.at_hand("universal")
    assert pq.load("universal").species == ["H", "O", "Ti", "Ba"]
    assert [file.name for file in universal.cached_file("universal").parent.iterdir()] == [
        universal.cached_file("universal").name
    ]


def test_the_card_says_what_the_charges_mean(at_hand):
    card = checkpoint.card("universal")
    limits = " ".join(card["limits"])
    for words in ("reference charges", "no redox", "covalent semiconductors", "with_dispersion"):
        assert words in limits
    assert "charges, fields" not in limits
    assert card["licence"] == "that of the imported checkpoint"
    assert card["elements"] == ["H", "O", "Ti", "Ba"]


def test_an_element_that_it_does_not_know_is_named(at_hand):
    with pytest.raises(ValueError, match="does not know Na; it knows H, O, Ti, Ba"):
        pq.load("universal").check_elements([8, 11])


def test_without_network_it_is_said_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(models, "_installed", lambda path: None)
    with pytest.raises(ConnectionError, match="models download sevennet-0' and copy the file"):
        pq.load("universal")
    assert {"universal", "universal-l3i5"} <= set(pq.available_models(published=True))
    assert not checkpoint.at_hand("universal")


def test_other_parameters_are_another_composition(monkeypatch):
    """A table that has changed since makes the model anew."""
    before = universal.cached_file("universal")
    assert universal.cached_file("universal") == before
    table = resolve_parameters("response")
    other = table | {"O": table["O"]._replace(softness=1.01 * table["O"].softness)}
    monkeypatch.setattr(universal, "resolve_parameters", lambda name: other)
    universal.composition.cache_clear()
    try:
        assert universal.cached_file("universal") != before
    finally:
        universal.composition.cache_clear()
