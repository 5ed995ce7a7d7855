"""What this machine's processor can do, for tests of files that compute in eight bits."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def int8_sums_saturate() -> bool:
    """Whether products of eight bits are added up in sixteen, where large ones are cut off: on x86
    without VNNI, or where oneDNN is held to AVX2."""
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() == "AVX2":
        return True
    info = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not info.exists():
        return False
    flags = info.read_text(encoding="utf-8").split()
    return not {"avx512_vnni", "avx_vnni"} & set(flags)
