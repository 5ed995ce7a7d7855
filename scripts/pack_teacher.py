"""Packs the teacher of a run for the package: 16-bit weights, what it was made for, what it is.

    python scripts/pack_teacher.py RUN gancompress/teachers/NAME.safetensors \
        --key data.name --key data.source --about "ResNet-9 of width 32, trained for …"

`RUN/recipe.yaml` gives the values of the keys; a recipe that names the teacher must have the same.
Prints the size, and by how much 16 bits move the tensors.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from gancompress.recipe.reading import load_recipe
from gancompress.storage.checkpoint import load_tensors, save_tensors
from gancompress.storage.runs import Run


def main() -> None:
    given = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    given.add_argument("run", type=Path)
    given.add_argument("out", type=Path)
    given.add_argument("--key", action="append", default=[], help="must be the same in a recipe")
    given.add_argument("--about", required=True, help="one line: what it is and how it was trained")
    args = given.parse_args()
    recipe = load_recipe(args.run / "recipe.yaml").model_dump(mode="json", by_alias=True)
    tensors, texts = load_tensors(Run(args.run).stage("teacher").artefact())
    halved = {name: tensor.half() for name, tensor in tensors.items()}
    assert all(bool(t.isfinite().all()) for t in halved.values()), "a weight passes 65504"
    made_for = {key: _value(recipe, key) for key in args.key}
    texts |= {"about": args.about, "made_for": json.dumps(made_for)}
    save_tensors(args.out, halved, texts)
    moved = max(float((tensors[n] - t.float()).abs().max()) for n, t in halved.items())
    count = sum(tensor.numel() for tensor in tensors.values())
    print(f"{args.out}: {args.out.stat().st_size:,} bytes, {count:,} weights, moved by {moved:.1e}")


def _value(recipe: dict[str, Any], key: str) -> Any:
    found: Any = recipe
    for name in key.split("."):
        found = found[name]
    return found


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
