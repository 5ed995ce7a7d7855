"""YAML as recipes use it: version 1.2's numbers, and no key twice."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from gancompress.errors import RecipeError
from gancompress.fields.bounds import check_events, check_text, shown

_TAG = "tag:yaml.org,2002:"
# YAML 1.2's core schema. Version 1.1, which PyYAML speaks, reads 1e6 as text, 12:30 as 750, no as
# false and 24_24_40 as a number; we keep of it 200_000 (groups of three) and the merge key <<.
_RESOLVERS = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^[-+]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:_\d{3})+)$"), list("-+0123456789")),
    (
        "float",
        re.compile(r"^[-+]?(?:(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?|\.inf|\.nan)$"),
        list("-+.0123456789"),
    ),
    ("merge", re.compile(r"^<<$"), ["<"]),
)


@dataclass(frozen=True)
class Scalar:
    """A value that is no text, and how it was written: 1.1 and `1.10`."""

    value: float | bool | None
    text: str


# libyaml's parser is some ten times as fast as the one in Python; some builds of PyYAML lack it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The most digits of a number: a longer one is a slip, and reading it costs the square of its
# length.
MAX_DIGITS = 100


class _RecipeLoader(_Loader):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _TAG + "merge":
                if key.value in seen:
                    problem = f'key "{shown(key.value)}" is given twice'
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        self.flatten_mapping(node)  # the merge keys
        node.value = [(_as_name(key), value) for key, value in node.value]
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping

    def construct_scalar_of(self, node: yaml.ScalarNode) -> Scalar:
        """The value and its text."""
        if len(node.value) > MAX_DIGITS:
            problem = f"a number of {len(node.value)} characters, {shown(node.value)}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return Scalar(_VALUES[node.tag.removeprefix(_TAG)](self, node), node.value)

    def construct_number(self, node: yaml.ScalarNode) -> float | int:
        """A float; where it is a whole number written with an exponent, an int (`1e6` MACs)."""
        value: float = self.construct_yaml_float(node)
        whole = "e" in node.value.lower() and value.is_integer()
        return int(value) if whole else value


def _as_name(key: yaml.Node) -> yaml.Node:
    """A key as text, as keys are names: 1.10, no. A new node, as aliases share the old one."""
    if not isinstance(key, yaml.ScalarNode):
        return key
    return yaml.ScalarNode(_TAG + "str", key.value, key.start_mark, key.end_mark)


class RecipeDumper(yaml.SafeDumper):
    """Writes what the loader reads back as the same values; lists on one line."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def represent_on_one_line(self, values: list[Any]) -> yaml.Node:
        return self.represent_sequence(_TAG + "seq", values, flow_style=True)


for _name, _pattern, _first in _RESOLVERS:
    _RecipeLoader.add_implicit_resolver(_TAG + _name, _pattern, _first)
    RecipeDumper.add_implicit_resolver(_TAG + _name, _pattern, _first)
_VALUES = {
    "null": _RecipeLoader.construct_yaml_null,
    "bool": _RecipeLoader.construct_yaml_bool,
    "int": _RecipeLoader.construct_yaml_int,
    "float": _RecipeLoader.construct_number,
}
for _name in _VALUES:
    _RecipeLoader.add_constructor(_TAG + _name, _RecipeLoader.construct_scalar_of)
RecipeDumper.add_representer(list, RecipeDumper.represent_on_one_line)


def parse(text: str, where: str) -> Any:
    """The plain value of a YAML text. Raises: RecipeError naming `where` and the line."""
    return plain(parse_scalars(text, where))


def plain(value: Any) -> Any:
    """What `parse_scalars` gives, with values alone."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.value if isinstance(value, Scalar) else value


def parse_scalars(text: str, where: str) -> Any:
    """The value of a YAML text, in which a `Scalar` stands for all that is no text.

    Raises: RecipeError naming `where` and the line.
    """
    check_text(text, where)
    try:
        check_events(text, _RecipeLoader, where)  # before anything is built
        return yaml.load(text, Loader=_RecipeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = shown(error.problem or error.context or "not YAML", 200)
        raise RecipeError(f"{where}: line {line}: {problem}; valid YAML is needed") from None
    except yaml.YAMLError as error:
        reason = shown(str(error).splitlines()[0], 200)
        raise RecipeError(f"{where}: {reason}; valid YAML is needed") from None
