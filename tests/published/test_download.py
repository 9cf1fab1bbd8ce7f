"""Downloading a published model, from a server on this machine that speaks figshare's interface."""

import hashlib
import http.server
import io
import json
import re
import tarfile
import threading
import zipfile

import pytest
from published import config_of, draw, write_model

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.published.download import ARTICLES, choose, download, list_files
from openmm_pqeq.published.reaxnet.layout import expected_shapes
from openmm_pqeq.published.reaxnet.settings import read_settings


class Server:
    """`files` (name → bytes) as the article's; `asked` has the paths of all requests."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.md5: dict[str, str] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                body = outer.answer(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v2"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def answer(self, path):
        if path.split("?")[0] == "/v2/articles/28407524/files":
            return json.dumps(
                [self.row(name, number) for number, name in enumerate(self.files)]
            ).encode()
        found = re.fullmatch(r"/files/(\d+)", path)
        return None if found is None else list(self.files.values())[int(found[1])]

    def row(self, name, number):
        content = self.files[name]
        md5 = self.md5.get(name, hashlib.md5(content).hexdigest())
        url = f"{self.url.removesuffix('/v2')}/files/{number}"
        return {
            "id": number,
            "name": name,
            "size": len(content),
            "is_link_only": False,
            "download_url": url,
            "supplied_md5": "",
            "computed_md5": md5,
        }

    def stop(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """name → content of the three files."""
    folder, config = tmp_path_factory.mktemp("model"), config_of("published irreps")
    files = write_model(folder, config, {})
    files = write_model(folder, config, draw(expected_shapes(read_settings(*files[1:])), config))
    return {path.name: path.read_bytes() for path in files}


def fetch(server, tmp_path, **others):
    lines = []
    files = download("reaxnet-mp", tmp_path / "cache", server.url, say=lines.append, **others)
    return files, lines


def in_zip(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return content.getvalue()


def in_tar(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def test_the_published_article_is_asked_for(server):
    assert ARTICLES["reaxnet-mp"].doi == "10.6084/m9.figshare.28407524"
    server.files = {"a.txt": b"a"}
    assert [(remote.name, remote.size) for remote in list_files("reaxnet-mp", server.url)] == [
        ("a.txt", 1)
    ]
    assert server.asked[0].startswith("/v2/articles/28407524/files")


@pytest.mark.parametrize(
    "form", ["files", "files under other names", "zip", "tar.gz", "folders in a zip"]
)
def test_the_three_files_arrive_however_they_are_published(server, model, tmp_path, form):
    others = {"README.md": b"about", "data/labels.extxyz": b"labels", "../escape.txt": b"x"}
    if form == "files":
        server.files = {**model, "MPtrj_labels.zip": b"large"}
    elif form == "files under other names":
        server.files = {
            name.replace("params", "reaxnet_mp_best").replace(".yaml", "_v1.yml"): data
            for name, data in model.items()
        }
    elif form == "tar.gz":
        server.files = {"reaxnet.tar.gz": in_tar(model | others)}
    else:
        inside = (
            model if form == "zip" else {f"ReaxNet-MP/{name}": data for name, data in model.items()}
        )
        server.files = {"model.zip": in_zip(inside | others), "notes.txt": b"notes"}
    files, lines = fetch(server, tmp_path)
    assert [path.read_bytes() for path in files] == list(model.values())
    assert {path.name for path in files} == set(model)
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in "".join(lines)
    assert not (tmp_path / "cache" / "escape.txt").exists()
    assert not any("MPtrj" in line for line in lines)


def test_what_is_in_the_cache_is_not_fetched_again(server, model, tmp_path):
    server.files = dict(model)
    first, lines = fetch(server, tmp_path)
    server.asked.clear()
    second, again = fetch(server, tmp_path)
    assert second == first
    assert server.asked == []
    assert [line for line in lines if "sha256" in line] == again


def test_files_put_into_the_cache_by_hand_are_used_without_network(model, tmp_path):
    folder = tmp_path / "cache" / "reaxnet-mp"
    folder.mkdir(parents=True)
    for name, data in model.items():
        (folder / name).write_bytes(data)
    files = download("reaxnet-mp", tmp_path / "cache", "http://127.0.0.1:9/v2")
    assert files.parameters == folder / "params.pickle"


def test_a_file_that_changed_in_the_cache_is_an_error(server, model, tmp_path):
    server.files = dict(model)
    files, _ = fetch(server, tmp_path)
    whole = files.parameters.read_bytes()
    files.parameters.write_bytes(whole[:-1] + b"x")
    with pytest.raises(
        ValueError,
        match=r"params.pickle has the SHA-256 \w{64}, and had \w{64} when it was first used",
    ):
        fetch(server, tmp_path)
    files.parameters.unlink()
    assert fetch(server, tmp_path)[0].parameters.read_bytes() == whole


def test_a_file_that_changed_at_its_source_is_an_error(server, model, tmp_path):
    server.files = dict(model)
    files, _ = fetch(server, tmp_path)
    files.mapping.unlink()
    server.files["mapping.yaml"] += b"# another version\n"
    with pytest.raises(
        ValueError,
        match=r"mapping.yaml has the SHA-256 .* remove it .* and mapping.yaml.sha256 as well",
    ):
        fetch(server, tmp_path)
    files.mapping.with_name("mapping.yaml.sha256").unlink()
    assert fetch(server, tmp_path)[0].mapping.read_bytes() == server.files["mapping.yaml"]


def test_a_damaged_transfer_leaves_nothing(server, model, tmp_path):
    server.files, server.md5 = dict(model), {"params.pickle": "0" * 32}
    with pytest.raises(
        ConnectionError, match="params.pickle did not arrive as the list describes it"
    ):
        fetch(server, tmp_path)
    assert list((tmp_path / "cache" / "reaxnet-mp").iterdir()) == []


def test_several_models_have_to_be_told_apart(server, model, tmp_path):
    server.files = {
        f"{name}.zip": in_zip({f"{name}/{file}": data for file, data in model.items()})
        for name in ("small", "large")
    }
    with pytest.raises(ValueError, match=r"small.zip \(\d+ bytes\), large.zip .*--select"):
        fetch(server, tmp_path)
    files, lines = fetch(server, tmp_path, select="large")
    assert "large.zip" in lines[0]
    assert files.config.read_bytes() == model["model_config.yaml"]
    with pytest.raises(
        ValueError, match=r"which parameters\? There are a/p.pkl, b/p.pkl; .*--select"
    ):
        choose(["a/p.pkl", "b/p.pkl", "a/config.yaml", "a/mapping.yaml"], "")


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "the article lists nothing"),
        ({"labels.csv": b"1"}, r"which file has the model\? .* lists labels.csv \(1 bytes\)"),
        ({"a.zip": b"not a zip"}, "a.zip cannot be unpacked"),
        ({"../../a.pickle": b"1"}, "impossible name '../../a.pickle'"),
        ({"..": b"1"}, "impossible name '..'"),
    ],
)
def test_an_article_without_the_model_is_an_error(server, tmp_path, files, match):
    server.files = files
    with pytest.raises(ValueError, match=match):
        fetch(server, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) in ([], ["a.zip"])


def test_an_archive_without_the_model_says_what_it_has(server, tmp_path):
    server.files = {"a.zip": in_zip({"x/readme": b"1"})}
    with pytest.raises(ValueError, match="it has x/readme"):
        fetch(server, tmp_path)


def test_without_network_the_message_says_what_to_do_by_hand(server, tmp_path):
    server.stop = lambda: None
    Server.stop(server)
    with pytest.raises(ConnectionError) as error:
        fetch(server, tmp_path)
    message = str(error.value)
    for needed in (
        "https://doi.org/10.6084/m9.figshare.28407524",
        "model_config.yaml",
        "mapping.yaml",
        str(tmp_path / "cache" / "reaxnet-mp"),
        "openmm-pqeq import-reaxnet",
    ):
        assert needed in message


def test_a_server_that_answers_something_else(server, tmp_path):
    server.answer = lambda path: b"<html>sign in</html>"
    with pytest.raises(ConnectionError, match="did not answer with a list of files"):
        fetch(server, tmp_path)
    with pytest.raises(ValueError, match="begins with http"):
        download("reaxnet-mp", tmp_path / "cache", "file:///etc")
    with pytest.raises(ValueError, match="'other' cannot be downloaded; these can: reaxnet-mp"):
        download("other", tmp_path / "cache", server.url)


def run(capsys, *arguments):
    code = main(["models", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, " ".join(captured.out.split()), " ".join(captured.err.split())


def test_command_line(server, model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server.files = {"model.zip": in_zip(model)}
    choices = ("--base-url", server.url, "--cache", tmp_path / "cache")
    code, out, err = run(capsys, "download", "reaxnet-mp", *choices, "--d3")
    assert (code, err) == (0, "")
    assert hashlib.sha256(model["params.pickle"]).hexdigest() in out
    assert set(pq.load("reaxnet-mp.pt").config) == {"gnn", "pqeq", "d3"}
    assert "exists" in run(capsys, "download", "reaxnet-mp", *choices)[2]
    assert run(capsys, "download", "reaxnet-mp", *choices, "--overwrite", "-o", "again.pt")[0] == 0
    assert run(capsys, "download", *choices)[0] == 2
    assert run(capsys, "download", "other", *choices)[0] == 2
    assert run(capsys, "reaxnet-mp.pt", "other")[0] == 2
    assert "imported" in run(capsys, "reaxnet-mp.pt")[1]
