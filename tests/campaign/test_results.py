"""The table of a campaign: averages with errors, and columns of one kind each."""

import numpy as np
import pytest
from campaign_studies import write_study

from openmm_pqeq.campaign.plot import plot_campaign
from openmm_pqeq.campaign.results import averages_of, columns_of
from openmm_pqeq.campaign.study import read_study
from openmm_pqeq.report.columns import label_of


def test_averages_leave_out_the_beginning_and_know_of_correlations(tmp_path):
    rng = np.random.default_rng(7)
    noise = np.zeros(4000)
    for k in range(1, len(noise)):  # forgets within 20 rows: g = 2 · 20
        noise[k] = noise[k - 1] * np.exp(-1 / 20) + rng.normal()
    series = 5.0 + np.where(np.arange(4000) < 800, 1000.0, noise)
    rows = [f"{10 * k},{k},{value}" for k, value in enumerate(series)]
    (tmp_path / "table.csv").write_text("\n".join(["step,time_ps,temperature_K", *rows]))
    found = averages_of(tmp_path / "table.csv", 0.2)
    assert set(found) == {"temperature_K", "temperature_K_error"}
    naive = noise[800:].std() / np.sqrt(3200)
    assert found["temperature_K"] == pytest.approx(5.0, abs=4 * found["temperature_K_error"])
    assert 4 < found["temperature_K_error"] / naive < 12  # √40 = 6.3


def test_columns_are_of_one_kind():
    rows = [{"a": 1, "b": 0.5, "c": None}, {"a": 2.5, "b": "0.1*t", "c": None, "d": True}]
    assert columns_of(rows) == {"a": [1.0, 2.5], "b": ["0.5", "0.1*t"], "d": [None, True]}


def test_columns_in_words():
    assert label_of("polarization_x_uC_per_cm2") == "Polarization x (µC/cm²)"
    assert label_of("density_g_per_cm3") == "Density (g/cm³)"
    assert label_of("charge_Mg_e") == "Charge Mg (e)"
    assert label_of("step") == "Step"


def test_the_plot_averages_over_seeds_and_has_a_line_for_each_other_choice(tmp_path):
    more = "[vary]\ntemperature = [100, 200]\nfriction = [1, 2]\nseed = [1, 2]\n"
    study = read_study(write_study(tmp_path, more))
    rows = [
        {
            "run": run.name,
            "state": "finished",
            "temperature": run.config.temperature,
            "friction": run.config.friction,
            "seed": run.config.seed,
            "density_g_per_cm3": 3.5 - 1e-3 * run.config.temperature + 0.01 * run.config.seed,
            "density_g_per_cm3_error": 1e-3,
        }
        for run in study.runs
    ]
    figure = plot_campaign(study, rows)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "friction 1",
        "friction 2",
    ]
    x, y = axes.lines[0].get_data()
    assert list(x) == [100, 200]
    assert np.allclose(y, [3.415, 3.315])
    assert axes.get_xlabel() == "temperature (K)"
    assert plot_campaign(study, rows[:1]) is None
