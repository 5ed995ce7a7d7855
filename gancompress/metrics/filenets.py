"""Networks from files: TorchScript, torch.export programs, torchvision's weights."""

from __future__ import annotations

import difflib
import importlib
import io
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ExportError, MetricError
from gancompress.metrics.levels import bytes_rgb
from gancompress.metrics.options import FileNetOptions
from gancompress.metrics.weights import read_state
from gancompress.storage.programs import checked, stripped

# From the weights of one of torchvision's models, what its constructor is told: arguments of
# `get_model`. None for tensors that are no weights of such a network.
Shape = Callable[[Mapping[str, Tensor]], Mapping[str, Any] | None]

# A record that only files of this kind have, by the end of its name.
_RECORDS: dict[str, str] = {"torchscript": "/constants.pkl", "pt2": "/archive_format"}
# What a network, and torch while it opens one, raise about inputs and files that do not fit.
_MISFITS = (RuntimeError, ValueError, KeyError, TypeError, AssertionError, AttributeError)


class FileNet:
    """A fixed network in a file, from images to scores.

    Opening a torchscript file can run code that is in it, and so can the network: take only files
    from people that you trust. A torchvision file is read as plain tensors, and of a pt2 file
    nothing but torch's own operators on plain tensors is loaded, see `programs.checked`.

    Args:
        shape, heads: of a torchvision file: what its network is told, and how the names of tensors
            that such weights have are told to a user.

    Images are resized, bilinear, to `options.size`, and the network gets (image - mean) / std of
    RGB in [0, 1]; one of grey images gets the mean of the three.
    Raises: MetricError if the file is missing, damaged or of another kind.
    """

    def __init__(
        self,
        options: FileNetOptions,
        *,
        shape: Shape,
        heads: str,
        device: torch.device | str = "cpu",
    ) -> None:
        assert options.file is not None, "options of a built-in network"
        self.file, self._options, self._device = options.file, options, torch.device(device)
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=self._device)[:, None, None]
            for values in options.normalisation
        )
        self._one_by_one = False
        path, where = Path(options.file), options.where
        if options.kind == "torchscript":
            self._run: Callable[[Tensor], Any] = _torchscript(path, where, self._device)
        elif options.kind == "pt2":
            self._run, self._one_by_one = _program(path, where, self._device)
        else:
            net = _torchvision(path, options.architecture or "", where, shape, heads)
            self._run = net.to(self._device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Scores (N, ...), float32, of images (N, 1 or 3, H, W) in [-1, 1], and the shape of what
        the network was given.

        Images are rounded to 8 bits, as in a saved PNG. Raises: MetricError if the network does not
        take them, or answers with something else.
        """
        x = bytes_rgb(images) / 255  # (N, 3, H, W) in [0, 1]
        size = self._options.size
        if size is not None and x.shape[-2:] != size:
            x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        x = (x - self._mean) / self._std
        if self._options.takes_channels == 1:
            x = x.mean(1, keepdim=True)
        try:
            parts = x.split(1) if self._one_by_one else [x]
            scores = torch.cat([_scores(self._run(part)) for part in parts])
        except _MISFITS as error:
            raise MetricError(
                f"{self.file}: fails on images of shape {tuple(x.shape)} ({_first_line(error)}); "
                f"set {self._options.where}.size to what it takes"
            ) from error
        return scores.float(), tuple(x.shape)


def _scores(answer: Any) -> Tensor:
    """The scores in what a network answers: torchvision's are a mapping, others begin with them."""
    if isinstance(answer, Mapping):
        answer = answer["out"] if "out" in answer else answer["logits"]
    elif isinstance(answer, tuple | list):
        answer = answer[0]
    if not isinstance(answer, Tensor):
        raise TypeError(f"answers with a {type(answer).__name__}, not with a tensor of scores")
    return answer


def _checked(path: Path, kind: str, section: str) -> bytes:
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
        raise MetricError(f"{path}: {found}; {section}.kind is {kind}")
    return content


def _torchscript(path: Path, section: str, device: torch.device) -> Callable[[Tensor], Any]:
    content = _checked(path, "torchscript", section)
    try:
        with warnings.catch_warnings():  # torch advises to export anew; the file is what there is
            warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated")
            net = torch.jit.load(io.BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
    except _MISFITS as error:
        raise _unreadable(path, error) from error
    run: Callable[[Tensor], Any] = net.eval()
    return run


def _program(
    path: Path, section: str, device: torch.device
) -> tuple[Callable[[Tensor], Any], bool]:
    """The program, and whether it takes one image at a time."""
    from torch.export.passes import move_to_device_pass

    content = _checked(path, "pt2", section)
    try:
        program = torch.export.load(checked(stripped(content, str(path)), str(path)))
        if device.type != "cpu":
            program = move_to_device_pass(program, device)
    except ExportError as error:  # as of a model file
        raise MetricError(str(error)) from None
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


def _torchvision(
    path: Path, architecture: str, section: str, shape: Shape, heads: str
) -> nn.Module:
    """One of torchvision's models with the weights in `path`."""
    models = importlib.import_module("torchvision.models")  # slow, and seldom needed
    state = read_state(path)
    told = shape(state)
    if told is None:
        raise MetricError(f"{path}: no tensor {heads}; weights of {architecture} do")
    try:
        with torch.device("meta"):  # no values are drawn that the file's would replace
            net: nn.Module = models.get_model(architecture, weights=None, **told)
    except ValueError as error:
        close = difflib.get_close_matches(architecture, models.list_models(models), n=1)
        meant = f'did you mean "{close[0]}"?' if close else "give a name of torchvision.models"
        raise MetricError(f"{section}.architecture: found {architecture}; {meant}") from error
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise MetricError(
            f"{path}: not the weights of torchvision's {architecture} "
            f"({_first_line(error, 1)}); set {section}.architecture to theirs"
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
