"""What the stages are called, and the files that several parts of the code name."""

from __future__ import annotations

STAGES: dict[str, str] = {  # stage and the command that makes it
    "teacher": "train-teacher",
    "supernet": "train-supernet",
    "search": "search",
    "finetune": "finetune",
    "export": "export",
}
# The folder of a training's previews, in the folder of its stage, and the file of their values.
PREVIEWS, PREVIEWS_LOG = "previews", "previews.jsonl"
