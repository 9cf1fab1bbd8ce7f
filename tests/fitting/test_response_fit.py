"""Fits of PQEq parameters to response: derivatives against central differences, recovery of known
parameters, guards, files."""

import json

import ase.io
import numpy as np
import pytest
import torch
from structures import perovskite, tensor, water

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.fitting.fit import fit
from openmm_pqeq.fitting.parameters import free_parameters, hardness_margins, to_fit, with_values
from openmm_pqeq.fitting.residuals import FitSettings, Guard, Residuals, measure
from openmm_pqeq.fitting.response import Place, Respondent
from openmm_pqeq.fitting.run import choose
from openmm_pqeq.fitting.settings import RunSettings, fit_settings
from openmm_pqeq.fitting.targets import ResponseFrame, parse_target, read_response_frames
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.pqeq import PQEq, resolve_parameters
from openmm_pqeq.pqeq.derivatives.adjoint import PARAMETERS
from openmm_pqeq.response import response
from openmm_pqeq.structure import Structure, structure_of

# an earlier fit to response (2 PBE frames): Ti with a negative electronegativity gives O its
# anisotropic Born charges
BATIO3 = {
    "Ba": [2.75877709, 6.589, 1.0, 0.933, 222.165],
    "O": [8.30811, 8.63, 1.0, 0.829, 37.773],
    "Ti": [-4.75408665, 10.543, 1.0, 0.53, 1064.244],
}


def moved(structure: Structure, by: float) -> Structure:
    """Every atom moved at random, by the same random numbers whatever `by` (Å) is."""
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(structure.positions.shape, dtype=torch.float64, generator=generator)
    return structure._replace(positions=structure.positions + by * noise)


def batio3():
    return resolve_parameters(
        {symbol: dict(zip(PARAMETERS, row)) for symbol, row in BATIO3.items()}
    )


CASES = {
    "crystal": (perovskite, "ewald", batio3),
    "molecule": (water, "direct", lambda: resolve_parameters("reaxnet")),
}


def frame_of(structure, parameters, names) -> ResponseFrame:
    """A frame whose labels are what PQEq gives with `parameters`."""
    empty = ResponseFrame(structure, dict.fromkeys(names, np.zeros(0)), "frame 0")
    (measured,) = measure(parameters, [empty], 1e-6)
    return ResponseFrame(structure, measured.values, "frame 0")


# --- the response and its derivatives
# -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coupling", ["shell", "full"])
@pytest.mark.parametrize("case", CASES)
def test_response_is_that_of_the_potential(case, coupling):
    """Two ways to the same second derivatives: to 1e-9 e²Å²/eV and e, limited by the residual of
    the solution."""
    make, protocol, parameters = CASES[case]
    if coupling == "full" and case == "crystal":
        pytest.skip("full coupling has no meaning in a crystal")
    config = {symbol: values._asdict() for symbol, values in parameters().items()}
    potential = pq.build(
        {
            "pqeq": {
                "protocol": protocol,
                "tolerance": 1e-10,
                "coupling": coupling,
                "parameters": config,
            }
        }
    )
    structure = make()
    alpha, born = response(potential, structure)
    answer = Respondent(
        potential.pqeq, structure, NeighborSearch(6.0)(structure), True, True
    ).answer([], tensor([]))
    assert (answer.polarizability - alpha).abs().max() < 1e-9
    assert (answer.born - born).abs().max() < 1e-9
    assert (answer.forces - potential.evaluate(structure, forces=True).forces).abs().max() < 1e-9


@pytest.mark.parametrize("case", CASES)
def test_derivatives_of_the_response_in_every_parameter(case):
    """Charges, shells, dipole, polarizability, Born charges, forces, smallest eigenvalue, longest
    shell against central differences: to 1e-6 of the largest derivative, the error of a difference
    over 1e-4 of the parameter."""
    make, protocol, parameters = CASES[case]
    structure = make()
    pqeq = PQEq(parameters(), protocol, tolerance=1e-9)
    places = [Place(name, int(z)) for name in PARAMETERS for z in torch.unique(structure.numbers)]
    values = torch.stack([getattr(pqeq, place.name)[place.number] for place in places])
    respondent = Respondent(pqeq, structure, NeighborSearch(6.0)(structure), True, True)
    _, slopes = respondent.answer_with_slopes(places, values)
    for m in range(len(places)):
        step = torch.zeros_like(values)
        step[m] = 1e-5 * max(1.0, float(values[m].abs()))
        up, down = (
            respondent.answer(places, values + step),
            respondent.answer(places, values - step),
        )
        for quantity in up._fields:
            difference = (getattr(up, quantity) - getattr(down, quantity)) / (2 * step[m])
            found = getattr(slopes, quantity)[m]
            largest = max(1.0, float(difference.abs().max()))
            assert float((found - difference).abs().max()) < 1e-6 * largest, (places[m], quantity)


def test_jacobian_of_the_loss_guard_and_prior_included():
    """Every residual against central differences in u, to 1e-5 of the largest; the limits are set
    so that all three guards push."""
    start, structure = batio3(), perovskite()
    answer = measure(start, [ResponseFrame(structure, {}, "")])[0]
    margin = hardness_margins(start, ["O"])["O"]
    guard = Guard(0.95 * answer.softest, 0.95 * margin, 1.05 * answer.longest)
    frame = frame_of(
        perovskite(),
        with_values(start, free_parameters(start, ["O"], ["hardness"]), [9.0]),
        ["born_charge", "dielectric"],
    )
    free = free_parameters(start, ["O", "Ti", "Ba"])
    residuals = Residuals(
        start,
        [frame],
        free,
        FitSettings({"born_charge": 0.1, "dielectric": 0.1}, guard, tolerance=1e-8),
    )
    u = residuals.origin
    assert residuals(u)[-len(u) - 3 - 2 : -len(u)].any()
    jacobian = residuals.jacobian(u)
    for k in range(len(u)):
        step = np.zeros(len(u))
        step[k] = 1e-5
        up, _ = residuals._evaluate(u + step, False)
        down, _ = residuals._evaluate(u - step, False)
        difference = (up - down) / 2e-5
        assert np.abs(jacobian[:, k] - difference).max() < 1e-5 * max(
            1.0, np.abs(difference).max()
        ), free[k]


# --- the fit
# ---------------------------------------------------------------------------------------------------------------------


def test_known_parameters_are_found_again():
    """Labels made with other radii and springs of oxygen and titanium: the fit finds those within 1
    %, and the labels to 1e-3."""
    start = batio3()
    free = free_parameters(
        start, ["O", "Ti", "Ba"], ["O:radius,spring_constant", "Ti:spring_constant"]
    )
    truth = with_values(start, free, [0.80, 42.0, 900.0])
    frame = frame_of(perovskite(), truth, ["born_charge", "dielectric"])
    settings = FitSettings(
        {"born_charge": 0.1, "dielectric": 0.1}, Guard(0.05, 0.05, 1.5), prior=1e-4, tolerance=1e-5
    )
    found = fit(Residuals(start, [frame], free, settings))
    assert found.finished
    for item in free:
        assert getattr(found.parameters[item.element], item.name) == pytest.approx(
            getattr(truth[item.element], item.name), rel=0.01
        )
    (after,) = measure(found.parameters, [frame], 1e-5)
    assert np.abs(after.values["born_charge"] - frame.labels["born_charge"]).max() < 1e-3
    assert found.parameters["Ba"] == start["Ba"]


def test_guard_holds_and_bounds_hold():
    """Labels that ask for a soft oxygen: the fit stops at the limit of the shell, and a narrow
    bound is kept."""
    start = resolve_parameters("reaxnet")
    asked = with_values(start, free_parameters(start, ["O"], ["O:spring_constant"]), [60.0])
    structure = water()
    labels = frame_of(structure, asked, ["polarizability"])
    longest = measure(asked, [labels])[0].longest
    guard = Guard(0.3, 0.3, 0.6 * longest)
    free = free_parameters(
        start, ["O", "H"], ["O:spring_constant", "H:radius"], ["H:radius=x0.99:x1.01"]
    )
    found = fit(Residuals(start, [labels], free, FitSettings({"polarizability": 0.01}, guard)))
    (after,) = measure(found.parameters, [labels])
    assert after.longest <= guard.shell * (1 + 1e-6)
    assert after.longest > 0.5 * guard.shell
    assert 0.99 * 0.371 <= found.parameters["H"].radius <= 1.01 * 0.371


def test_a_resumed_fit_is_the_unbroken_one(tmp_path):
    """To the last bit: what was computed before the end is told to SciPy again."""
    start = batio3()
    free = free_parameters(start, ["O", "Ti", "Ba"], ["O:radius,spring_constant"])
    frame = frame_of(perovskite(), with_values(start, free, [0.80, 42.0]), ["born_charge"])
    frame = frame._replace(
        labels={
            "born_charge": frame.labels["born_charge"]
            + 0.05 * np.cos(np.arange(45.0)).reshape(5, 3, 3)
        }
    )
    settings = FitSettings({"born_charge": 0.1}, Guard(0.05, 0.05, 1.5), tolerance=1e-5)
    whole = fit(Residuals(start, [frame], free, settings))
    state = tmp_path / "state.json"
    fit(Residuals(start, [frame], free, settings._replace(iterations=2)), state)
    kept = json.loads(state.read_text())
    assert kept["free"] == ["O radius", "O spring_constant"]
    lines: list[str] = []
    second = fit(Residuals(start, [frame], free, settings), state, lines.append)
    assert second == whole
    assert lines[0].startswith(f"step {kept['steps'] + 1:3d}")
    other = settings._replace(scales={"born_charge": 0.2})
    with pytest.raises(ValueError, match=r"evaluations\.npz is of a fit with another start, other"):
        fit(Residuals(start, [frame], free, other), state)
    with pytest.raises(ValueError, match=r"evaluations\.npz is of a fit with another start, other"):
        fit(Residuals(start, [frame], free[:1], settings), state)
    (tmp_path / "evaluations.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"evaluations\.npz is damaged .* remove it"):
        fit(Residuals(start, [frame], free, settings), state)


def test_interrupted_fits_keep_the_best(tmp_path):
    start = batio3()
    free = free_parameters(start, ["O", "Ti", "Ba"], ["O:spring_constant"])
    frame = frame_of(perovskite(), with_values(start, free, [42.0]), ["born_charge"])
    residuals = Residuals(
        start, [frame], free, FitSettings({"born_charge": 0.1}, Guard(0.05, 0.05, 1.5))
    )
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if line.startswith("step   1"):
            raise KeyboardInterrupt

    found = fit(residuals, tmp_path / "state.json", interrupt)
    assert not found.finished
    assert 37.773 < found.parameters["O"].spring_constant < 50.0
    assert "interrupted" in lines[-1]


# --- choices, files and the command
# ------------------------------------------------------------------------------------------------


def test_which_parameters_are_free():
    start = resolve_parameters("reaxnet")
    free = free_parameters(
        start, ["O", "Ti"], ["Ti:all", "radius"], ["radius=0.3:1.9", "Ti:radius=x0.5:x1.5"]
    )
    assert [str(item) for item in free] == ["O radius"] + [f"Ti {name}" for name in PARAMETERS]
    assert (free[0].low, free[0].high) == (0.3, 1.9)
    radius = next(item for item in free if str(item) == "Ti radius")
    assert (radius.low, radius.high) == (0.5 * radius.start, 1.5 * radius.start)
    assert to_fit(free, [item.start for item in free])[0] == pytest.approx(
        np.log(start["O"].radius)
    )


@pytest.mark.parametrize(
    ("fit_texts", "bounds", "message"),
    [
        (["Si:all"], [], "expected elements of the data"),
        (["O:width"], [], "expected 'all' or names among"),
        (["O:all"], ["O:radius"], r"bounds: expected \[ELEMENT:\]NAME=LOW:HIGH"),
        (["O:all"], ["O:radius=1:x2"], "expected LOW:HIGH or xLOW:xHIGH"),
        (["O:all"], ["O:radius=1.5:2"], "starts at 0.669, outside 1.5:2"),
        (["O:all"], ["O:radius=-1:2"], "expected LOW < HIGH, positive"),
    ],
)
def test_wrong_choices_are_refused(fit_texts, bounds, message):
    with pytest.raises(ValueError, match=message):
        free_parameters(resolve_parameters("reaxnet"), ["O"], fit_texts, bounds)


def test_an_element_without_a_shell_has_no_spring_to_fit():
    start = resolve_parameters(
        {"O": {"electronegativity": 8.3, "hardness": 14.7, "core_charge": 1.0, "radius": 0.67}}
    )
    assert [item.name for item in free_parameters(start, ["O"])] == [
        "electronegativity",
        "hardness",
        "radius",
    ]
    with pytest.raises(ValueError, match="O has no shell"):
        free_parameters(start, ["O"], ["O:spring_constant"])


@pytest.fixture
def data(tmp_path):
    """Ten waters with polarizabilities in bohr³ in boxes that are none, made with a softer
    oxygen."""
    start = resolve_parameters("reaxnet")
    softer = with_values(start, free_parameters(start, ["O"], ["O:spring_constant"]), [300.0])
    images = []
    for k in range(10):
        structure = moved(water(), 0.02 * k)
        alpha = frame_of(structure, softer, ["polarizability"]).labels["polarizability"]
        atoms = ase.Atoms("OHH", structure.positions.numpy(), cell=[50.0] * 3, pbc=True)
        atoms.info["pol"] = alpha * 14.399645 / 0.529177210903**3
        images.append(atoms)
    ase.io.write(tmp_path / "water.extxyz", images)
    return tmp_path / "water.extxyz"


def test_labels_and_their_units(data):
    frames = read_response_frames([data], ["polarizability=pol:bohr3"], cluster=True)
    assert len(frames) == 10
    assert not frames[0].structure.pbc.any()
    # water, all of its polarizability from shells: between 1 and 30 bohr³
    assert (
        1.0
        < np.trace(frames[0].labels["polarizability"]) / 3 * 14.399645 / 0.529177210903**3
        < 30.0
    )
    isotropic = read_response_frames([data], ["isotropic=pol:bohr3"], cluster=True)[0].labels[
        "isotropic"
    ]
    assert float(isotropic) == pytest.approx(
        np.trace(frames[0].labels["polarizability"]) / 3, abs=1e-12
    )
    periodic = read_response_frames([data], ["polarizability=pol:bohr3"])[0]
    volume = 50.0**3
    expected = np.eye(3) + 4 * np.pi * 14.399645 / volume * frames[0].labels["polarizability"]
    assert np.allclose(periodic.labels["dielectric"], expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="no frame has a target"):
        read_response_frames([data])
    with pytest.raises(ValueError, match="dipoles need their key and unit"):
        parse_target("dipole")
    with pytest.raises(ValueError, match="expected a unit among"):
        parse_target("polarizability=pol:cm3")
    with pytest.raises(FileNotFoundError, match="no file"):
        read_response_frames([data.parent / "none.xyz"])


def test_choice_of_frames_is_that_of_the_seed():
    held_out, fitted = choose(59, RunSettings(("x",), held_out=12, frames=4))
    assert held_out == sorted(np.random.default_rng(0).permutation(59)[:12].tolist())
    assert len(fitted) == 4
    assert not set(held_out) & set(fitted)
    with pytest.raises(ValueError, match="of 10 frames, got 4 and 8"):
        choose(10, RunSettings(("x",), held_out=4, frames=8))
    with pytest.raises(ValueError, match="seed: expected a whole number that is not negative"):
        fit_settings({"data": "x", "seed": -1})


def test_a_frame_without_a_stable_solution_is_named():
    structure = structure_of(tensor([[0, 0, 0], [0, 0, 0.4], [0, 0.4, 0]]), torch.tensor([8, 1, 1]))
    start = resolve_parameters("pqeq0")  # its H is softer than its own Gaussian
    frame = ResponseFrame(structure, {"isotropic": np.array(1.0)}, "close.xyz frame 7")
    free = free_parameters(start, ["H", "O"], ["O:hardness"])
    with pytest.raises(RuntimeError, match=r"close\.xyz frame 7: the Hessian"):
        fit(Residuals(start, [frame], free, FitSettings({"isotropic": 0.01})))


def test_the_command_writes_what_build_reads(data, capsys):
    """From file to folder: a spring found again to 1 %, held-out frames measured, a second run
    refused, resumed, replaced."""
    folder = data.parent / "fitted[a]"  # which is no markup
    arguments = [
        "fit-pqeq",
        str(data),
        "--cluster",
        "--target",
        "isotropic=pol:bohr3",
        "--fit",
        "O:spring_constant",
    ]
    arguments += ["--held-out", "3", "--frames", "4", "--prior", "1e-4", "--output", str(folder)]
    assert main([*arguments, "--scale", "isotropic=0"]) == 2
    assert not folder.exists()
    assert main(arguments) == 0
    assert "fitted[a]" in capsys.readouterr().out
    card = json.loads((folder / "card.json").read_text())
    assert card["parameters"]["O"]["spring_constant"] == pytest.approx(300.0, rel=0.01)
    assert card["errors"]["held out (3), after"]["isotropic"]["mae"] < 0.01
    assert card["errors"]["held out (3), before"]["isotropic"]["mae"] > 0.1
    assert len(card["held_out_frames"]) == 3
    assert (folder / "parity.png").stat().st_size > 1000
    assert "isotropic polarizability" in (folder / "errors.txt").read_text()
    potential = pq.build(
        {"pqeq": {"protocol": "direct", "parameters": str(folder / "parameters.csv")}}
    )
    assert float(potential.pqeq.spring_constant[8]) == pytest.approx(300.0 / 23.060549, rel=0.01)
    capsys.readouterr()
    assert main(arguments) == 2
    assert "continue that fit with --resume, or replace it" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert main([*arguments, "--seed", "5", "--resume"]) == 2
    assert "other settings (seed)" in capsys.readouterr().err
