"""Reports: one file with everything in it, whole in a browser, and nothing of a file is taken for
HTML."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from openmm_pqeq.campaign.record import describe, set_failed
from openmm_pqeq.checkpoint import save
from openmm_pqeq.cli import main
from openmm_pqeq.md.config import run_config
from openmm_pqeq.md.run import run
from openmm_pqeq.pages import page
from openmm_pqeq.pages.card import beyond
from openmm_pqeq.pages.structure import described
from openmm_pqeq.potential import build

STEPS = 24
VOID = {"meta", "img", "br", "hr", "link", "input"}
CARD = {
    "title": "Charges & <b>a</b> repulsion",
    "licence": "MIT",
    "not_for": "anything else",
    "valid_for": {"elements": ["Mg", "O"], "temperature": [0, 250], "cell": False},
}


class Reader(HTMLParser):
    """Text and sources of a page; AssertionError where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.sources, self.links, self.text = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [attrs[name] for name in ("src", "data", "srcset") if name in attrs]
        self.links += [attrs["href"]] if "href" in attrs else []
        assert tag != "link"
        assert tag != "img" or attrs["alt"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run at 300 K with a model that is for less, and an analysis."""
    folder = tmp_path_factory.mktemp("report")
    terms = {
        "pqeq": {"protocol": "reaxnet", "cutoff": 4.0},
        "zbl": {"inner": 1.0, "outer": 1.5, "species": ["Mg", "O"]},
    }
    save(build(terms), folder / "model.pt", CARD)
    bulk("MgO", "rocksalt", a=4.2, cubic=True).write(folder / "MgO.cif")
    settings = {
        **{"structure": str(folder / "MgO.cif"), "model": str(folder / "model.pt")},
        **{"output": str(folder / "out"), "steps": STEPS, "timestep": 0.1, "temperature": 300},
        **{"field": [0, 0, 0.01], "table_interval": 2, "trajectory_interval": 4, "seed": 11},
        **{"charges_interval": 4, "backend": "python", "platform": "Reference"},
    }
    with pytest.warns(UserWarning, match="for 0 to 250 K"):
        run(run_config(settings))
    assert main(["analyze", "averages", str(folder / "out"), "--columns", "temperature_K"]) == 0
    return folder / "out"


def written(folder, *flags):
    assert main(["report", str(folder), *flags]) == 0
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_of_a_run_has_everything_and_needs_nothing(folder):
    text = written(folder)
    read = Reader(text)
    assert len(read.sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in read.sources)
    assert read.links == []
    assert not re.search(r"url\(|@import|\bfetch\(|XMLHttpRequest|import\(", text)
    shown = " ".join(read.text)
    for what in (
        *("Mg4O4, 8 atoms, NVT at 300 K, field (0, 0, 0.01) V/Å", f"after {STEPS} steps"),
        *("Course", "Last frame", "Analysis", "averages", "What was run", "run.log"),
        *("its card says that it is for 0 to 250 K, and 300 K is wanted", "Not for anything else"),
        *("Temperature: the model is for 0 to 250 K; the run is at 300 K.", "keeps its cell"),
        *("Charges & <b>a</b> repulsion", "SHA-256", "torch 2", "electric field, V/Å", "processor"),
    ):
        assert what in shown, what


def test_the_last_frame_is_that_of_the_restart_file(folder):
    text = written(folder)
    data = json.loads(re.search(r'id="structure">(.*?)</script>', text)[1])
    assert (len(data["kind"]), len(data["positions"])) == (8, 24)
    assert np.shape(data["cell"]) == (3, 3)
    assert abs(sum(data["charges"])) < 0.01
    assert f"8 atoms at step {STEPS} of the stage produce" in text


def test_a_run_that_was_stopped_says_how_it_goes_on(folder, tmp_path):
    stopped = tmp_path / "stopped"
    shutil.copytree(folder, stopped)
    facts = json.loads((stopped / "facts.json").read_text())
    del facts["finished"]
    (stopped / "facts.json").write_text(json.dumps(facts))
    toml = (stopped / "run.toml").read_text()
    (stopped / "run.toml").write_text(toml.replace(f"steps = {STEPS}", "steps = 1000"))
    assert f"Not finished: at step {STEPS} of 1,000" in written(stopped)


def test_what_is_no_report_is_not_replaced(folder, tmp_path, capsys):
    other = tmp_path / "thesis.html"
    other.write_text("<p>years of work")
    assert main(["report", str(folder), "-o", str(other)]) == 2
    assert "exists and is no report" in capsys.readouterr().err
    assert other.read_text() == "<p>years of work"
    assert main(["report", str(folder), "-o", str(other), "--overwrite"]) == 0
    assert main(["report", str(folder), "-o", str(other)]) == 0
    assert main(["report", str(tmp_path)]) == 2
    assert "has no run.toml" in capsys.readouterr().err


def test_the_page_of_a_campaign(folder, tmp_path):
    place = tmp_path / "campaign"
    for name in ("good", "bad"):
        shutil.copytree(folder, place / "runs" / name)
        toml = run_config(
            {"structure": "x.cif", "model": "m", "output": str(place / "runs" / name)}
            | {"steps": STEPS, "friction": 1.0 if name == "good" else 2.0}
        )
        describe(toml)
    set_failed(place / "runs" / "bad", "atoms <too> close")
    (place / "study.toml").write_text("[run]\n# a < b\n")
    text = written(place, "--runs")
    read = Reader(text)
    shown = " ".join(read.text)
    assert sorted(read.links) == ["runs/bad/report.html", "runs/good/report.html"]
    assert all((place / link).is_file() for link in read.links)
    for what in ("2 runs: 1 finished, 1 failed", "bad: atoms <too> close", "friction", "# a < b"):
        assert what in shown, what


def test_sticks_go_half_the_way_to_the_nearest_image():
    bonded = described(molecule("H2O"), None)
    sticks = np.array(bonded["sticks"]).reshape(-1, 4)
    assert sorted(sticks[:, 0].tolist()) == [0, 0, 1, 2]  # no bond between the hydrogens
    lengths = np.linalg.norm(sticks[:, 1:], axis=1) / 100
    assert np.allclose(lengths, 0.969 / 2, atol=0.01)
    crystal = described(bulk("NaCl", "rocksalt", a=5.64, cubic=True), np.zeros(8))
    sticks = np.array(crystal["sticks"]).reshape(-1, 4)
    assert np.bincount(sticks[:, 0]).tolist() == [6] * 8  # sodium to chlorine alone
    assert described(Atoms("He"), None)["sticks"] == []


def test_a_run_beside_the_limits_of_a_card():
    config = run_config(
        {"structure": "a.cif", "model": "m", "output": "o", "steps": 1, "ensemble": "NPT"}
    )
    within, outside = beyond(CARD, config, {"Mg", "S"})
    assert within == []
    assert [text.split(":")[0] for text in outside] == ["Elements", "Temperature", "Cell"]
    assert beyond({}, config, {"Mg"}) == ([], [])


def test_data_cannot_end_its_script():
    assert "</script><script>" not in page.data("x", ["</script><script>alert(1)"])[20:-9]
    assert json.loads(re.search(">(.*)</script>$", page.data("x", ["</a>"]))[1]) == ["</a>"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium on PATH")
def test_a_browser_draws_it_without_an_error(folder, tmp_path):
    """The canvas is not empty: the page says how many of its pixels have a colour."""
    text = written(folder)
    probe = """<script>
    addEventListener("error", e => document.title = "error " + e.message);
    const c = document.querySelector("canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0;
    document.title = "colored " + n;
    </script></body>"""
    (tmp_path / "page.html").write_text(text.replace("</body>", probe), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'page.html'}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    found = re.search(r"<title>(\w+) (.*?)</title>", shown)
    assert found[1] == "colored", found[0]
    assert int(found[2]) > 5000
