"""A traced generator as a text: its graph, the shapes of its tensors, what was found out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from gancompress.errors import ArchError
from gancompress.nets.traced.facts import VERSION, ProgramFacts, parsed
from gancompress.nets.traced.graph import OperatorGraph


@dataclass(frozen=True)
class Program:
    """A traced generator.

    shapes: of its tensors, in full width. refused: groups of channels that are frozen though their
    operators are known, with the reason: those whose order mattered. dispensable: the sums of
    residual branches, the most dispensable first.
    """

    graph: OperatorGraph
    shapes: Mapping[str, tuple[int, ...]]
    facts: ProgramFacts
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
        plain = parsed(text, where)
        graph = OperatorGraph.from_json(plain.get("graph"), where)
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
        return cls(
            graph, shapes, ProgramFacts.of(plain.get("facts", {}), where), refused, dispensable
        )
