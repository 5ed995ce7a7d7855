"""A traced generator as a text: its graph, the shapes of its tensors, what was found out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gancompress.errors import ArchError
from gancompress.nets.traced.graph import Graph

VERSION = 1


@dataclass(frozen=True)
class Facts:
    """What is known of a traced generator without torch.

    size: (height, width) that it was traced on; is_static: whether it takes no other.
    size_multiple: of height and width. enlargement: its output's side over its input's.
    value_range: of the images that it takes and gives, (lowest, highest).
    """

    in_channels: int
    out_channels: int
    size: tuple[int, int]
    is_static: bool
    size_multiple: int
    enlargement: int
    value_range: tuple[float, float] = (-1.0, 1.0)

    @classmethod
    def of(cls, plain: Mapping[str, Any], where: str) -> Facts:
        """From JSON. Raises: ArchError naming `where`."""
        try:
            found = cls(**{**plain, "size": tuple(plain["size"]),
                           "value_range": tuple(plain["value_range"])})  # fmt: skip
            numbers = (found.in_channels, found.out_channels, *found.size, found.size_multiple)
            if min(numbers) < 1 or found.enlargement < 1 or len(found.size) != 2:
                raise ValueError(str(plain))
            low, high = found.value_range
            if not low < high:
                raise ValueError(str(plain))
        except (TypeError, ValueError, KeyError):
            raise ArchError(f"{where}: not a traced generator; import it again") from None
        return found


@dataclass(frozen=True)
class Program:
    """A traced generator.

    shapes: of its tensors, in full width. refused: groups of channels that are frozen though their
    operators are known, with the reason: those whose order mattered. dispensable: the sums of
    residual branches, the most dispensable first.
    """

    graph: Graph
    shapes: Mapping[str, tuple[int, ...]]
    facts: Facts
    refused: Mapping[str, str] = field(default_factory=dict)
    dispensable: Sequence[str] = ()

    def to_text(self) -> str:
        plain = {
            "version": VERSION,
            "facts": asdict(self.facts),
            "refused": dict(self.refused),
            "dispensable": list(self.dispensable),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "graph": self.graph.to_json(),
        }
        return json.dumps(plain, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str, where: str = "program") -> Program:
        """Inverse of `to_text`. Raises: ArchError naming `where`."""
        plain = _parsed(text, where)
        graph = Graph.from_json(plain.get("graph"), where)
        try:
            shapes = {
                str(name): tuple(int(side) for side in shape)
                for name, shape in plain["shapes"].items()
            }
            refused = {str(name): str(why) for name, why in plain["refused"].items()}
            dispensable = [str(name) for name in plain["dispensable"]]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ArchError(f"{where}: not a traced generator; import it again") from None
        if shapes.keys() != graph.tensors.keys():
            raise ArchError(f"{where}: its tensors are not those of its graph; import it again")
        return cls(graph, shapes, Facts.of(plain.get("facts", {}), where), refused, dispensable)


def facts_of(text: str, where: str) -> Facts:
    """The facts of a program's text. Raises: ArchError naming `where`."""
    return Facts.of(_parsed(text, where).get("facts", {}), where)


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict) or plain.get("version") != VERSION:
        raise ArchError(f"{where}: not a traced generator of this version; import it again")
    return plain
