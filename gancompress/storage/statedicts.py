"""State dicts of published networks, which users fetch as files of torch or of safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.storage.checkpoint import load_tensors


def load_state_dict(path: Path, whose: str) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU; nothing in it is executed.

    whose: the network, for messages. Raises: CheckpointError.
    """
    if path.suffix == ".safetensors" or not path.is_file():
        return load_tensors(path)[0]  # It says what is wrong with a file that is missing.
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Damaged bytes raise a dozen different types.
        raise CheckpointError(
            f"{path}: truncated or not a file of tensors; fetch the weights of {whose} again"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no named tensors; give the weights of {whose}")
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
