"""One model file in a process of its own, loaded once and called when told to.

`gancompress benchmark` starts it as `python -m gancompress.benchmark.worker` and speaks with it in
lines of JSON: a job; then how many calls to time, again and again; then 0, which ends it. A plain
process, as one that multiprocessing spawns imports the caller's main script first, torch with it,
and threads and memory are then no longer those of the file alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from gancompress.errors import GanCompressError
from gancompress.process import configure_runtime

# What loading a file would import first, by package of the format.
RUNTIMES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "executorch": "executorch.runtime",
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # set by who starts it


def main() -> None:
    """Answers the jobs on the standard input; whatever libraries print goes to the errors."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    configure_runtime()  # as every command of ours, before torch is imported
    job = json.loads(sys.stdin.readline())
    try:
        _tell(answers, _rates(job) if job["path"] is None else _serve(job, answers))
    except GanCompressError as error:
        _tell(answers, {"error": str(error)})


def _tell(answers: TextIO, what: dict[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def _rates(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    from gancompress.benchmark.roofline import measure_rates

    torch.set_num_threads(job["threads"])
    return asdict(measure_rates())


def _serve(job: dict[str, Any], answers: TextIO) -> dict[str, Any]:
    """Loads the file, tells what it is, and times calls as long as the caller asks for some."""
    import torch

    from gancompress.export.card import manifest_text
    from gancompress.export.formats import FORMATS
    from gancompress.export.opening import locate, open_model

    torch.set_num_threads(job["threads"])
    format, path = locate(Path(job["path"]))
    for package in FORMATS[format].packages:
        if package in RUNTIMES:
            import_module(RUNTIMES[package])
    imported = _memory_bytes("VmRSS")
    model = open_model(path, job["file"])
    shape = (job["batch"], model.card.in_channels, *(job["size"] or model.card.size))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for _ in range(job["warmup"]):
        model(x)
    told = {"format": format, "path": str(path), "size": shape[2:], "imported_bytes": imported}
    _tell(answers, {**told, "manifest": manifest_text(model.arch, model.card)})
    while count := int(sys.stdin.readline() or 0):
        model(x)  # not counted: others ran meanwhile, and caches and threads have to wake up
        times_ms = []
        for _ in range(count):
            start = time.perf_counter()
            model(x)
            times_ms.append((time.perf_counter() - start) * 1e3)
        _tell(answers, {"times_ms": times_ms})
    return {"peak_bytes": _memory_bytes("VmHWM")}


def _memory_bytes(which: str) -> int:
    """Resident memory of this process: VmRSS what it holds now, VmHWM the most that it held.

    From Linux itself where it tells: `getrusage` there includes what the process that started this
    one held, and that is no fault of the file. Elsewhere both are the most.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024  # in kB
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    main()
