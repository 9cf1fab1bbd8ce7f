"""What becomes of memory that is freed.

A step makes and frees arrays of some MB by the hundred. glibc by itself gives what is freed at the
end of its heap back to the system, and takes large pieces from there: each comes back as new memory,
page by page, filled with zeros. Charges by bonds of 1,080 atoms had 9,000 such pages and a quarter of
their processor time in a step. Freed memory up to `KEPT` stays with the process, and only pieces
above `LARGE` come from the system one by one.
"""

import ctypes
import os
import sys

KEPT = 128 * 2**20
LARGE = 32 * 2**20
"""Bytes; glibc takes no more for the second."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of <malloc.h>, for mallopt(3)."""

SAID = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")
"""By which somebody has said it already."""


def keep_freed() -> bool:
    """Have this process keep what it frees, where its C library is glibc and nobody has said
    otherwise; whether it was done."""
    if not sys.platform.startswith("linux") or any(name in os.environ for name in SAID):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version") or not hasattr(library, "mallopt"):
        return False
    return bool(
        library.mallopt(M_TRIM_THRESHOLD, KEPT) and library.mallopt(M_MMAP_THRESHOLD, LARGE)
    )


keep_freed()
