"""The potentials of the tests through OpenMM. Tests marked `gpu` are skipped, with the reason,
where torch finds no CUDA device; `--gpu-on-cpu` tries their code on the CPU. Those marked `long` run
with `--long`."""

import os

import pytest
import torch
from emulated_cuda import emulated

from openmm_pqeq.potential import build

pytest.register_assert_rewrite("through_openmm")

D3 = {"damping": "bj", "functional": "pbe", "cutoff": 7.0, "cn_cutoff": 5.0}


def pytest_addoption(parser):
    parser.addoption(
        "--gpu-on-cpu", action="store_true", help="run the tests marked gpu, on the CPU"
    )
    parser.addoption("--long", action="store_true", help="run the tests marked long, too")


def pytest_collection_modifyitems(config, items):
    there = torch.cuda.is_available() or config.getoption("gpu_on_cpu")
    skip = pytest.mark.skip(reason="needs a CUDA device, and torch finds none")
    quiet = pytest.mark.filterwarnings("ignore:.*deterministic:UserWarning")  # see gpu
    long = pytest.mark.skip(reason="takes minutes; --long runs it")
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("long"):
            item.add_marker(long)
        if item.get_closest_marker("gpu"):
            item.add_marker(quiet if there else skip)


@pytest.fixture
def gpu(request):
    """The device of the tests marked `gpu`. Memory that a kernel gets for its results is full of
    NaN, which torch does where it is told to be deterministic."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield torch.device("cpu" if request.config.getoption("gpu_on_cpu") else "cuda")
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=["CPU", "CUDA emulated"])
def kernels(request):
    """The kernels of native operators: those of the CPU, then those for NVIDIA GPUs on the CPU."""
    if request.param == "CPU":
        yield
        return
    if request.node.get_closest_marker("gpu"):
        pytest.skip("a GPU needs no emulation")
    with emulated(keep_calls=False):
        yield


@pytest.fixture(scope="session", autouse=True)
def start_cache(tmp_path_factory):
    """What is kept from process to process is that of the tests, all workers of xdist share it, and
    it goes with them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENMM_PQEQ_START_CACHE", str(folder / "start-cache"))
        yield


@pytest.fixture(scope="module")
def ewald():
    return build({"pqeq": {"protocol": "ewald", "tolerance": 1e-10}})


@pytest.fixture(scope="module")
def direct():
    return build({"pqeq": {"protocol": "direct", "tolerance": 1e-10}, "d3": D3})


@pytest.fixture(scope="module")
def sweeps():
    return build({"pqeq": {"protocol": "reaxnet", "cutoff": 5.0}})


@pytest.fixture(scope="module")
def network():
    """A cheap smooth potential, where all that matters is what OpenMM does with it."""
    torch.manual_seed(0)
    return build(
        {
            "gnn": {
                "species": ["H", "O", "Na", "Cl"],
                "hidden_irreps": "4x0e + 2x1o",
                "layers": 1,
                "r_max": 4.0,
            }
        }
    )
