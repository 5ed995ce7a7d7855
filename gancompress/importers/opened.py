"""A trained generator as a module, however it was brought."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from gancompress.nets.traced.facts import NAMES

ZERO_ONE, MINUS_ONE_ONE = (0.0, 1.0), (-1.0, 1.0)


@dataclass(frozen=True)
class Opened:
    """A trained generator as a module, in evaluation, and what its file tells of it.

    about: what it is, for the user. in_channels, value_range: None where the file does not tell.
    names: of its input and output, where it tells them, "" where not. program: of torch.export, in
    the place of `net`, which is nothing then.
    """

    net: nn.Module
    about: str
    in_channels: int | None = None
    value_range: tuple[float, float] | None = None
    program: torch.export.ExportedProgram | None = None
    names: tuple[str, str] = ("", "")

    @property
    def usable_names(self) -> tuple[str, str]:
        """Of input and output, the usual ones where the file tells none or one for both."""
        taken, given = (own or usual for own, usual in zip(self.names, NAMES, strict=True))
        return (taken, given) if taken != given else NAMES
