"""Segmentation networks from files: TorchScript, torch.export programs, torchvision's weights."""

from __future__ import annotations

import importlib
import io
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import MetricError
from gancompress.metrics.features import bytes_rgb
from gancompress.metrics.weights import read_state

Kind = Literal["torchscript", "pt2", "torchvision"]
Numbers = Sequence[float]

# A record that only files of this kind have, by the end of its name.
_RECORDS: dict[str, str] = {"torchscript": "/constants.pkl", "pt2": "/archive_format"}
# What a network, and torch while it opens one, raise about inputs and files that do not fit.
_MISFITS = (RuntimeError, ValueError, KeyError, TypeError, AssertionError, AttributeError)


class SegmentationNet:
    """A fixed network from images to a score of every class at every pixel.

    Opening a torchscript or pt2 file can run code that is in it, and so can the network: take only
    files from people that you trust. A torchvision file is read as plain tensors.

    Args:
        architecture: of a torchvision file, as torchvision names it; the number of classes is read
            from the weights.
        size: (height, width) that images are resized to, bilinear; None leaves them as they are.
        mean, std: of RGB in [0, 1], three values each: the network gets (image - mean) / std.

    Raises: MetricError if the file is missing, damaged or of another kind.
    """

    def __init__(
        self,
        path: Path | str,
        kind: Kind,
        architecture: str | None = None,
        *,
        size: tuple[int, int] | None = None,
        mean: Numbers,
        std: Numbers,
        device: torch.device | str = "cpu",
    ) -> None:
        self.where = str(path)
        self._size, self._device = size, torch.device(device)
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=self._device)[:, None, None]
            for values in (mean, std)
        )
        self._one_by_one = False
        if kind == "torchscript":
            self._run: Callable[[Tensor], Any] = _torchscript(Path(path), self._device)
        elif kind == "pt2":
            self._run, self._one_by_one = _program(Path(path), self._device)
        else:
            self._run = _torchvision(Path(path), architecture or "").to(self._device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Scores (N, K, h, w), float32, of images (N, 1 or 3, H, W) in [-1, 1].

        Images are rounded to 8 bits, as in a saved PNG. Raises: MetricError if the network does not
        take them, or answers with something else.
        """
        x = bytes_rgb(images) / 255  # (N, 3, H, W) in [0, 1]
        if self._size is not None and x.shape[-2:] != self._size:
            x = F.interpolate(x, self._size, mode="bilinear", align_corners=False, antialias=True)
        x = (x - self._mean) / self._std
        try:
            parts = x.split(1) if self._one_by_one else [x]
            scores = torch.cat([_scores(self._run(part)) for part in parts])
        except _MISFITS as error:
            raise MetricError(
                f"{self.where}: fails on images of shape {tuple(x.shape)} ({_first_line(error)}); "
                "set metrics.segmentation.size to what it takes"
            ) from error
        if scores.ndim != 4 or len(scores) != len(x):
            raise MetricError(
                f"{self.where}: answers {tuple(scores.shape)} to images of {tuple(x.shape)}; "
                "scores (N, classes, height, width) are needed"
            )
        return scores.float()


def _scores(answer: Any) -> Tensor:
    """The scores in what a network answers: torchvision's are a mapping, others begin with them."""
    if isinstance(answer, Mapping):
        answer = answer["out"] if "out" in answer else answer["logits"]
    elif isinstance(answer, tuple | list):
        answer = answer[0]
    if not isinstance(answer, Tensor):
        raise TypeError(f"answers with a {type(answer).__name__}, not with a tensor of scores")
    return answer


def _checked(path: Path, kind: str) -> bytes:
    """The bytes of the file, which has the form that `kind` has; nothing in it is run.

    So an ordinary mistake gets a plain answer: torch would log a page and try older layouts.
    Raises: MetricError for anything else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MetricError(f"{path}: cannot be read ({reason}); give a {kind} file") from None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        names = []
    holds = [k for k, record in _RECORDS.items() if any(n.endswith(record) for n in names)]
    if kind not in holds:
        found = f"a {holds[0]} file" if holds else "truncated, or no network"
        raise MetricError(f"{path}: {found}; metrics.segmentation.kind is {kind}")
    return content


def _torchscript(path: Path, device: torch.device) -> Callable[[Tensor], Any]:
    content = _checked(path, "torchscript")
    try:
        with warnings.catch_warnings():  # torch advises to export anew; the file is what there is
            warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated")
            net = torch.jit.load(io.BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
    except _MISFITS as error:
        raise _unreadable(path, error) from error
    run: Callable[[Tensor], Any] = net.eval()
    return run


def _program(path: Path, device: torch.device) -> tuple[Callable[[Tensor], Any], bool]:
    """The program, and whether it takes one image at a time."""
    from torch.export.passes import move_to_device_pass

    content = _checked(path, "pt2")
    try:
        program = torch.export.load(io.BytesIO(content))
        if device.type != "cpu":
            program = move_to_device_pass(program, device)
    except _MISFITS as error:
        raise _unreadable(path, error) from error
    inputs = program.graph_signature.user_inputs
    shapes = {n.name: n.meta["val"].shape for n in program.graph.nodes if n.name in inputs}
    if len(shapes) != 1:
        raise MetricError(f"{path}: takes {len(shapes)} inputs; export it with one, the images")
    batch = next(iter(shapes.values()))[0]
    if isinstance(batch, int) and batch != 1:
        raise MetricError(
            f"{path}: exported for batches of {batch}; export it with a free batch, or with 1"
        )
    return program.module(), isinstance(batch, int)


def _torchvision(path: Path, architecture: str) -> nn.Module:
    """One of torchvision's segmentation models with the weights in `path`."""
    get_model = importlib.import_module("torchvision.models").get_model  # slow, and seldom needed
    state = read_state(path)
    heads = [n for n in state if n.startswith("classifier.") and n.endswith(".weight")]
    if not heads:
        raise MetricError(f"{path}: no tensor classifier.*.weight; weights of {architecture} do")
    options: dict[str, Any] = {"num_classes": len(state[heads[-1]]), "weights_backbone": None}
    if any(name.startswith("aux_classifier.") for name in state):
        options["aux_loss"] = True
    with torch.device("meta"):  # no values are drawn that the file's would replace
        net: nn.Module = get_model(architecture, weights=None, **options)
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise MetricError(
            f"{path}: not the weights of torchvision's {architecture} "
            f"({_first_line(error, 1)}); set metrics.segmentation.architecture to theirs"
        ) from error
    return net.float().eval().requires_grad_(False)


def _unreadable(path: Path, error: Exception) -> MetricError:
    return MetricError(
        f"{path}: torch {torch.__version__} cannot read it ({_first_line(error)}); "
        "write it again with this version"
    )


def _first_line(error: Exception, start: int = 0) -> str:
    """Of what torch says; the first lines of its longer texts are headings."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(start, len(lines) - 1)] if lines else type(error).__name__
