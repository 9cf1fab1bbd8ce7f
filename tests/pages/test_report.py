"""Reports: one file with everything in it, whole in a browser, and nothing of a file is taken for
HTML."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from openmm_pqeq import checkpoint
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


def damaged(folder, tmp_path, name, content):
    """A copy of the run in which a file has another content."""
    copy = tmp_path / "damaged"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("report.html"))
    if isinstance(content, bytes):
        (copy / name).write_bytes(content)
    else:
        (copy / name).write_text(content((copy / name).read_text(encoding="utf-8")), "utf-8")
    return copy


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("topology.cif", b"", "topology.cif cannot be read (IndexError"),
        ("topology.cif", b"hello", "topology.cif cannot be read (IndexError"),
        ("topology.cif", lambda text: text[: len(text) // 2], "topology.cif cannot be read"),
        ("table.csv", b"step,time_ps\n1,1\n2,2\n", "is not the table of a run: it has no temper"),
        ("run.toml", b'model = "m"', "run.toml is not the description of a run (structure: miss"),
        ("facts.json", b'{"finished": "yes"}', "facts.json: finished: not as a job writes it, got"),
        (
            "facts.json",
            b'{"finished": {"date": "x", "step": "a"}}',
            "finished: not as a job writes",
        ),
        ("facts.json", b'{"machine": 3}', "facts.json: machine: not as a job writes it, got 3"),
        ("facts.json", b'{"sha256": null}', "facts.json: sha256: not as a job writes it, got None"),
        ("facts.json", b'{"resumed": [1]}', "facts.json: resumed: not as a job writes it"),
        ("restart.zip", b"hello", "restart.zip is not a restart file of a run, or a damaged one"),
    ],
)
def test_files_that_are_damaged_are_named(folder, tmp_path, capsys, name, content, message):
    assert main(["report", str(damaged(folder, tmp_path, name, content))]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "damaged" / "report.html").exists()


def test_a_row_that_is_being_written_is_not_read(folder, tmp_path):
    """As a run that is under way, or was killed, leaves it."""
    copy = damaged(folder, tmp_path, "table.csv", lambda text: text[:-5])
    assert "0.0022" in " ".join(Reader(written(copy)).text)  # ps, of the last whole row
    assert "0.0024" in " ".join(Reader(written(folder)).text)


def test_a_table_with_numbers_that_are_none_has_no_averages(folder, tmp_path):
    """The run that it is of has failed, and its page tells more than the averages."""
    change = lambda text: re.sub(r"(?m)^(\d+,[^,]*),[^,]*", r"\1,nan", text)  # noqa: E731
    text = written(damaged(folder, tmp_path, "table.csv", change))
    tiles = re.search('<div class="tiles">(.*?)<section>', text, re.DOTALL)[1]
    assert "temperature" in tiles
    assert "potential energy" not in tiles
    assert "potential energy" in written(folder)


def test_a_card_may_be_written_by_hand(folder, tmp_path, capsys):
    shutil.copytree(folder.parent, tmp_path / "moved")
    model, place = tmp_path / "moved" / "model.pt", tmp_path / "moved" / "out"
    save(checkpoint.load(model), model, {"training": "by <hand>", 1: [None, {"two": 3}]})
    assert "by <hand>" in " ".join(Reader(written(place)).text)
    assert main(["models", str(model)]) == 0
    assert "by <hand>" in capsys.readouterr().out


def test_an_inner_model_is_told_in_the_heading(folder, tmp_path):
    change = lambda text: text.replace("# inner_model =", 'inner_model = "../inner.pt"')  # noqa: E731
    text = written(damaged(folder, tmp_path, "run.toml", change))
    assert "model model.pt, 4 inner steps of inner.pt in one of 0.1 fs" in text


def test_links_are_those_of_folders_with_any_name(folder, tmp_path):
    place = tmp_path / "100% #1 <b>"
    shutil.copytree(folder, place / "runs" / "one")
    describe(
        run_config(
            {"structure": "x.cif", "model": "m", "output": str(place / "runs" / "one"), "steps": 1}
        )
    )
    page_of_it = tmp_path / "page.html"
    assert main(["report", str(place), "-o", str(page_of_it)]) == 0
    (link,) = Reader(page_of_it.read_text(encoding="utf-8")).links
    assert "#" not in link
    assert (tmp_path / unquote(link)).exists()


def test_one_damaged_run_takes_no_page_from_the_others(folder, tmp_path, capsys):
    place = tmp_path / "campaign"
    for name in ("a", "b"):
        shutil.copytree(folder, place / "runs" / name)
        settings = {"structure": "x.cif", "model": "m", "output": str(place / "runs" / name)}
        describe(run_config(settings | {"steps": STEPS}))
    (place / "runs" / "a" / "report.html").unlink(missing_ok=True)
    (place / "runs" / "a" / "restart.zip").write_text("hello")
    (place / "runs" / "b" / "failed.txt").write_bytes(b"\xff\xfe <b>")
    assert main(["report", str(place), "--runs"]) == 1
    assert "a has no page: resume: " in capsys.readouterr().err
    assert (place / "runs" / "b" / "report.html").is_file()
    assert (place / "report.html").is_file()


@pytest.mark.parametrize("settings", [{"runs": 3}, {"skip": "much"}], ids=str)
def test_facts_of_a_campaign_that_were_edited_are_named(folder, tmp_path, capsys, settings):
    place = tmp_path / "campaign"
    (place / "runs").mkdir(parents=True)
    (place / "facts.json").write_text(json.dumps({"job": "campaign", "settings": settings}))
    assert main(["report", str(place)]) == 2
    assert "facts.json: settings: expected the names of runs" in capsys.readouterr().err


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
