"""ONNX graphs as torch modules."""

from __future__ import annotations

import warnings
from pathlib import Path

from gancompress.errors import CheckpointError
from gancompress.importers.opened import Opened
from gancompress.nets.families.ownfile import reason


def open_onnx(path: Path) -> Opened:
    """Raises: CheckpointError for a graph that onnx2torch does not take, or without onnx2torch."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import onnx
            import onnx2torch  # type: ignore[import-untyped]
    except ImportError:
        raise CheckpointError(
            f'{path}: an ONNX file; reading it needs onnx2torch: pip install "gancompress[import]"'
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = onnx2torch.convert(str(path))
    except Exception as error:
        raise CheckpointError(
            f"{path}: onnx2torch cannot turn it into a torch module ({reason(error)[:300]}); give "
            "the network that it was exported from"
        ) from error
    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}  # Old files list them as inputs too.
    names = next(v.name for v in graph.input if v.name not in weights), graph.output[0].name
    return Opened(net.eval(), f"ONNX graph {path.name}", names=names)
