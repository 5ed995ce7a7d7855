"""Settings of the process that must stand before torch is imported."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Of glibc's malloc.h. By default every tensor above 128 kB or so goes back to the system when it is
# freed, and the next one pays for fresh pages: an eighth of the training time on a CPU.
_MALLOPT = {
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: keep freed memory
    -2: 2**26,  # M_TOP_PAD: ask for 64 MB at a time
    -3: 2**25,  # M_MMAP_THRESHOLD: pages of their own only above 32 MB, the most it admits
}

# How long an OpenMP thread spins before it sleeps. The default spins for milliseconds, which on a
# machine with a busy core costs 10 to 50 times the work; sleeping at once costs a quarter of it.
_SPINS = "20000"

# How torch says it, on a CPU (two wordings), CUDA and MPS, and C++; its own class is not imported
# for commands that need no torch.
_TOO_LITTLE = re.compile(
    r"DefaultCPUAllocator: (?:can't allocate|not enough) memory|out of memory|std::bad_alloc"
)


def configure_runtime() -> None:
    """Sets memory and threads up for training on CPUs; what the user has set stays."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    if platform.libc_ver()[0] == "glibc" and not any(k.startswith("MALLOC_") for k in os.environ):
        libc = ctypes.CDLL(None)
        for option, value in _MALLOPT.items():
            libc.mallopt(option, value)


def release_memory() -> None:
    """Gives the system back what was freed: between pieces of work that need memory otherwise.

    `configure_runtime` has it kept, which is right for the steps of a training: all need the same.
    """
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def collecting() -> Iterator[None]:
    """Inside, garbage is collected, also where it was not before; what was imported is left out.

    Modules are no garbage: to look through them while they are imported takes a sixth of the time.
    """
    if gc.isenabled():
        yield
        return
    gc.freeze()
    gc.enable()
    try:
        yield
    finally:
        gc.disable()
        if "triton" in sys.modules:  # Its library writes pages on what is left when Python ends.
            gc.unfreeze()


def is_too_little_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, as Python, the system or torch say it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or bool(_TOO_LITTLE.search(str(error)))
