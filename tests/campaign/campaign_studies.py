"""A study of tiny runs: MgO with charges and a repulsion, a few seconds each."""

from ase.build import bulk

from openmm_pqeq.checkpoint import save
from openmm_pqeq.potential import build

STEPS, INTERVAL = 300, 10

TEXT = f"""
[run]
model = "model.pt"
structure = "MgO.cif"
steps = {STEPS}
timestep = 0.2
table_interval = 5
trajectory_interval = {INTERVAL}
charges_interval = 0
restart_interval = {INTERVAL}
backend = "python"
platform = "Reference"
precision = "double"
"""


def write_study(folder, more, name="study.toml"):
    """A study file in a folder, with its model and structure, and `more` of TOML."""
    folder.mkdir(parents=True, exist_ok=True)
    terms = {
        "pqeq": {"protocol": "reaxnet", "cutoff": 4.0},
        "zbl": {"inner": 1.0, "outer": 1.5, "species": ["Mg", "O"]},
    }
    save(build(terms), folder / "model.pt", {"valid_for": {"temperature": [0, 250]}})
    bulk("MgO", "rocksalt", a=4.2, cubic=True).write(folder / "MgO.cif")
    (folder / name).write_text(TEXT + more, encoding="utf-8")
    return folder / name
