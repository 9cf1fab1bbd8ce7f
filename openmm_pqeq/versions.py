"""Which installed versions carry which force route.

TorchForce runs inside OpenMM's C++ and is exact about versions; PythonForce calls back into Python
and takes any torch. Both checks - the one made when a force is created, and the one that
``openmm-pqeq doctor`` prints - read the table `ROUTES`. Nothing here imports torch or OpenMM: a
version that crashes on import can still be named.
"""

import platform
from importlib import metadata
from typing import Mapping, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version


class Requirement(NamedTuple):
    """One package that a route needs.

    package : name on PyPI
    accepts : versions that work (PEP 440)
    tested : the version that the tests run with
    reason : what happens with the others
    """

    package: str
    accepts: str
    tested: str
    reason: str


class Route(NamedTuple):
    """One of the two ways from a potential to an OpenMM force.

    backend : value of the argument `backend` of `create_force`
    title : the OpenMM class that carries it
    requirements : packages and versions
    remedy : command that installs them
    """

    backend: str
    title: str
    requirements: tuple[Requirement, ...]
    remedy: str


ROUTES: dict[str, Route] = {
    "torchscript": Route(
        backend="torchscript",
        title="TorchForce",
        requirements=(
            Requirement(
                "torch",
                "==2.9.1",
                "2.9.1",
                "openmmtorch 1.5 crashes with 2.8 and fails with 2.10 and later",
            ),
            Requirement(
                "openmm",
                ">=8.5.2,<8.6",
                "8.5.2",
                "with 8.6 a TorchForce that is copied or deserialised crashes",
            ),
            Requirement("openmmtorch", "==1.5", "1.5", "it is the TorchForce plugin"),
        ),
        remedy='pip install "torch==2.9.1" "openmm==8.5.2" "openmmtorch==1.5"',
    ),
    "python": Route(
        backend="python",
        title="PythonForce",
        requirements=(
            Requirement(
                "torch",
                ">=2.9,<2.15",
                "2.13.0",
                "older ones are untested; vesin-torch 0.6 has libraries up to 2.14",
            ),
            Requirement("openmm", ">=8.5", "8.6.1", "openmm.PythonForce appeared in OpenMM 8.5"),
        ),
        remedy='pip install "torch>=2.10,<2.15" "openmm>=8.6.1"',
    ),
}

BACKENDS = tuple(ROUTES)

PACKAGES = (
    "openmm-pqeq",
    "torch",
    "openmm",
    "openmmtorch",
    "openmmml",
    "e3nn",
    "vesin-torch",
    "torch-dftd",
    "ase",
    "mdtraj",
    "numpy",
    "h5py",
    "matplotlib",
    "rich",
    "lightning",
)
"""Packages whose versions belong in a report about an installation."""


def installed(package: str) -> str | None:
    """Version of an installed distribution, or None; the package is not imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installed_versions() -> dict[str, str | None]:
    """Python's version and those of `PACKAGES`; None for what is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    versions.update({package: installed(package) for package in PACKAGES})
    return versions


def from_conda(package: str) -> bool:
    """Whether conda installed the distribution; conda-forge builds openmm-torch against the torch
    and OpenMM beside it."""
    try:
        return (metadata.distribution(package).read_text("INSTALLER") or "").strip() == "conda"
    except metadata.PackageNotFoundError:
        return False


def problems(backend: str, versions: Mapping[str, str | None] | None = None) -> list[str]:
    """What keeps a route from working: one sentence each; an empty list where nothing does.

    Parameters
    ----------
    backend : "torchscript" or "python"
    versions : package → version or None; default: what is installed

    Raises
    ------
    ValueError
        if there is no such backend
    """
    if backend not in ROUTES:
        raise ValueError(f"backend: expected one of {sorted(ROUTES)}, got {backend!r}")
    if versions is None:
        versions = installed_versions()
        if backend == "torchscript" and from_conda("openmmtorch"):
            return []
    found = []
    for need in ROUTES[backend].requirements:
        version = versions.get(need.package)
        if version is None:
            found.append(f"{need.package} is not installed (needed: {need.package}{need.accepts})")
        elif not accepts(need.accepts, version):
            found.append(
                f"{need.package} {version} is installed, {need.package}{need.accepts} is needed: "
                f"{need.reason}"
            )
    return found


def accepts(specifier: str, version: str) -> bool:
    """Whether `version` (a local part such as ``+cpu`` is ignored) satisfies a PEP 440 specifier.

    >>> accepts("==2.9.1", "2.9.1+cu128"), accepts(">=8.5.2,<8.6", "8.6.1")
    (True, False)
    """
    try:
        parsed = Version(version)
    except InvalidVersion:
        return False
    return SpecifierSet(specifier).contains(parsed.public, prereleases=True)


def require(backend: str, versions: Mapping[str, str | None] | None = None) -> None:
    """Raise, naming the remedy, unless a route's packages are installed in versions that work
    together.

    Raises
    ------
    RuntimeError
        with what is installed, what is needed, why, and the command that mends it
    """
    found = problems(backend, versions)
    if not found:
        return
    route = ROUTES[backend]
    lines = [
        f'backend="{backend}" ({route.title}) cannot run with what is installed:',
        *(f"  {problem}" for problem in found),
    ]
    lines.append(f"Remedy: {route.remedy}")
    other = "python" if backend == "torchscript" else "torchscript"
    if not problems(other, versions):
        lines.append(f'or use backend="{other}" ({ROUTES[other].title}), which works here.')
    raise RuntimeError("\n".join(lines))
