"""What a job has warned of, for its log."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def heard() -> Iterator[list[str]]:
    """The warnings to users within, which are shown as ever; other packages' are not among them."""
    texts: list[str] = []
    show = warnings.showwarning

    def hear(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, UserWarning) and "openmm_pqeq" in filename:
            texts.append(str(message))
        show(message, category, filename, lineno, file, line)

    warnings.showwarning = hear
    try:
        yield texts
    finally:
        warnings.showwarning = show
