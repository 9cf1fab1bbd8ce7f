"""A State out of XML, and nothing else.

OpenMM's XML may hold a System whose PythonForce is a pickle, which runs code where it is read. So
the text is first read here, as a tree of the elements and numbers that a State has; what OpenMM
gets is written anew from that tree.
"""

import math
import re
from xml.etree import ElementTree

import numpy as np
import openmm
from openmm import unit

CHILDREN = {
    "State": (
        "PeriodicBoxVectors",
        "Parameters",
        "Positions",
        "Velocities",
        "IntegratorParameters",
    ),
    "PeriodicBoxVectors": ("A", "B", "C"),
    "Positions": ("Position",),
    "Velocities": ("Velocity",),
    "IntegratorParameters": ("Chain",),
    "Chain": ("Bead",),
}
"""Elements of the State of a run, and the elements in each; the chains are Nosé and Hoover's."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_VERSION = re.compile(r"[\w.+-]{1,64}", re.ASCII)


def state_from(text: str) -> openmm.State:
    """The State that XML describes.

    Raises ValueError for XML of anything else, for elements or values that no State of a run has,
    and for numbers that are not finite.
    """
    if "<!" in text:
        raise ValueError("expected the XML of a State, got some with declarations or comments")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"expected the XML of a State ({error})") from None
    if root.tag != "State" or root.attrib.pop("type", "") != "State":
        raise ValueError(f"expected the XML of a State, got that of a {root.tag[:40]}")
    version = root.attrib.pop("openmmVersion", "")
    _check(root)
    if not _VERSION.fullmatch(version):
        raise ValueError("State: expected a version of OpenMM")
    root.attrib |= {"type": "State", "openmmVersion": version}
    try:
        return openmm.XmlSerializer.deserialize(ElementTree.tostring(root, encoding="unicode"))
    except openmm.OpenMMException as error:
        raise ValueError(f"expected the XML of a State ({error})") from None


def same_moment(one: openmm.State, two: openmm.State) -> bool:
    """Whether two States have the same positions, velocities and box, to the last digits."""
    pairs = (
        (one.getPositions(asNumpy=True), two.getPositions(asNumpy=True)),
        (one.getVelocities(asNumpy=True), two.getVelocities(asNumpy=True)),
        (one.getPeriodicBoxVectors(asNumpy=True), two.getPeriodicBoxVectors(asNumpy=True)),
    )
    return all(
        a.shape == b.shape
        and np.allclose(
            a.value_in_unit_system(unit.md_unit_system),
            b.value_in_unit_system(unit.md_unit_system),
            rtol=1e-9,
            atol=1e-9,
        )
        for a, b in pairs
    )


def _check(element: ElementTree.Element) -> None:
    """ValueError where an element or one in it has what a State has not."""
    if (element.text or "").strip() or (element.tail or "").strip():
        raise ValueError(f"{element.tag}: expected no text in the XML of a State")
    for name, value in element.attrib.items():
        if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
            raise ValueError(f"{element.tag}: {name[:40]}: expected a number, got {value[:40]!r}")
    for child in element:
        if child.tag not in CHILDREN.get(element.tag, ()):
            raise ValueError(f"{element.tag}: a State has no {child.tag[:40]} in it")
        _check(child)
