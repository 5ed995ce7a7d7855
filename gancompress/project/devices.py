"""Where to compute."""

from __future__ import annotations

import torch

from gancompress.errors import RecipeError
from gancompress.training.distributed import own_device


def device_named(name: str, recipe_name: str) -> torch.device:
    """The device of a recipe; "auto" is a GPU where there is one, with torchrun each process's own.

    Raises: RecipeError for a device that this machine lacks; RunError if it has too few.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    best = next(kind for kind, is_here in present.items() if is_here)
    wanted = best if name == "auto" else name
    if not present[wanted]:
        raise RecipeError(
            f"{recipe_name}: device: {wanted} is not on this machine; use auto or cpu"
        )
    return own_device(wanted)
