"""Who may import whom: DESIGN.md's layers, read from the syntax trees of all four packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "gancompress": ROOT / "gancompress",
    "gancompress.distill": ROOT / "distill",
    "gancompress.search": ROOT / "search",
    "gancompress.export": ROOT / "export",
}
# From the bottom up: a module imports from its own row and the rows above it in this table. What
# of gancompress/ is not named here fails the first test: give it its place.
TIERS: tuple[tuple[str, ...], ...] = (
    ("errors", "process", "interrupts", "bars", "ranks", "durations", "evenly", "turns"),
    ("storage", "fields", "teachers"),
    ("archs",),
    ("nets",),
    ("supernet",),
    ("tasks",),
    ("data",),
    ("training",),
    ("metrics",),
    ("distill", "search", "export", "importers"),
    ("recipe", "recipes"),
    ("project",),
    ("latency",),
    ("stages",),
    ("benchmark", "report", "apps"),
    ("cli",),
    ("__main__",),
)
TIER = {f"gancompress.{part}": i for i, tier in enumerate(TIERS) for part in tier}
SIBLINGS = ("distill", "search", "export")
RECIPE = TIER["gancompress.recipe"]  # rows below it know recipes, those above do not
# All that these may import.
ALONE = {
    "gancompress.storage.checkpoint": ("gancompress.errors", "gancompress.storage.regularfiles"),
    "gancompress.storage.regularfiles": (),
}

Imports = dict[str, set[str]]


def part_of(module: str) -> str:
    """The entry of the table: `gancompress.nets` for `gancompress.nets.families.resnet`."""
    return ".".join(module.split(".")[:2])


def module_names() -> dict[str, Path]:
    """Every module of the four packages and its file."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            inner = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *inner]).removesuffix(".__init__")] = path
    return found


def imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, str]]:
    """Each import, inside functions too: the module after `from` or `import`, and the name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative: one dot is the package that the module is in
                parts = module.split(".")[: None if is_package else -1]
                package = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{package}.{base}".rstrip(".")
            yield from ((base, alias.name) for alias in node.names)


@cache
def imports_of(path: Path, module: str) -> tuple[tuple[str, str], ...]:
    """`imported` of a file, which is parsed once for all tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    # Registries and options modules are read with every recipe, without torch. What functions in
    # them import, the classes that they make, does not count.
    if module.endswith("options") or path.name == "__init__.py":
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return tuple(imported(tree, module, path.name == "__init__.py"))


def read_imports(names: dict[str, Path]) -> Imports:
    """Module → modules of ours that it imports."""
    graph: Imports = {}
    for module, path in names.items():
        targets = set()
        for base, name in imports_of(path, module):
            target = f"{base}.{name}" if f"{base}.{name}" in names else base
            if target.split(".")[0] == "gancompress":
                targets.add(target)
        graph[module] = targets - {module}
    return graph


def upward_imports(graph: Imports) -> list[str]:
    """Imports from a higher tier, between siblings, or beyond what a module may import."""
    wrong = []
    for module, targets in sorted(graph.items()):
        here = part_of(module)
        for target in sorted(targets - {"gancompress"}):
            there = part_of(target)
            siblings = {here, there} <= {f"gancompress.{s}" for s in SIBLINGS} and here != there
            alone = module in ALONE and target not in ALONE[module]
            if TIER.get(here, 0) < TIER.get(there, 0) or siblings or alone:
                wrong.append(f"{module} imports {target}")
    return wrong


def find_cycle(graph: Imports) -> list[str]:
    """Modules that import each other in a circle, first = last; empty if there are none."""
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph.get(module, ())):
            if cycle := visit(target, [*trail, module]):
                return cycle
        done.add(module)
        return []

    return next((cycle for module in sorted(graph) if (cycle := visit(module, []))), [])


@pytest.fixture(scope="module")
def graph() -> Imports:
    names = module_names()
    assert len(names) >= 20, "the four packages were not found beside tests/"
    return read_imports(names)


def test_every_module_has_a_layer(graph: Imports) -> None:
    homeless = {part_of(module) for module in graph if module != "gancompress"} - set(TIER)
    assert not homeless, f"no layer for {sorted(homeless)}; add them to TIERS in {__file__}"


def test_imports_go_down_only(graph: Imports) -> None:
    assert upward_imports(graph) == []


def test_imports_have_no_cycle(graph: Imports) -> None:
    assert find_cycle(graph) == []


def test_recipes_stop_at_the_entry_points(graph: Imports) -> None:
    wrong = [
        f"{module} imports {target}"
        for module, targets in sorted(graph.items())
        for target in sorted(targets)
        if TIER.get(part_of(target)) == RECIPE and TIER.get(part_of(module), 0) < RECIPE
    ]
    assert wrong == [], "classes and functions below the entry points take plain arguments"


def test_packages_have_no_cycle(graph: Imports) -> None:
    packages: Imports = {}
    for module, targets in graph.items():
        here = part_of(module)
        packages.setdefault(here, set()).update(map(part_of, targets))
        packages[here].discard(here)
    assert find_cycle({name: found - {"gancompress"} for name, found in packages.items()}) == []


def test_few_files_lie_outside_packages() -> None:
    assert len(list(FOLDERS["gancompress"].glob("*.py"))) <= 10


def test_nobody_imports_the_command_line(graph: Imports) -> None:
    wrong = [m for m, targets in graph.items() if "gancompress.cli.commands" in targets]
    assert [module for module in wrong if module != "gancompress.__main__"] == []


def test_siblings_are_imported_by_their_full_name_only() -> None:
    modules = module_names()
    files = [p for folder in ("tests", "scripts") for p in (ROOT / folder).rglob("*.py")]
    modules |= {f"{path.parent.name}.{path.stem}": path for path in files}
    wrong = []
    for module, path in modules.items():
        for base, _ in imports_of(path, module):
            if base.split(".")[0] in SIBLINGS:
                wrong.append(f"{path.relative_to(ROOT)} imports {base}; write gancompress.{base}")
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("gancompress.errors", "gancompress.archs.arch"),
        ("gancompress.nets.families.resnet", "gancompress.supernet.cost"),
        ("gancompress.search.evolve", "gancompress.export"),
        ("gancompress.training.loop", "gancompress.distill.train"),
        ("gancompress.storage.checkpoint", "gancompress.archs.arch"),
    ],
)
def test_upward_imports_are_found(module: str, target: str) -> None:
    assert upward_imports({module: {target}}) == [f"{module} imports {target}"]


def test_cycles_are_found() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_inside_functions_and_relative_ones_are_read() -> None:
    source = (
        "def f():\n    from . import one\n    from ..two import three\n    import gancompress.four"
    )
    found = list(imported(ast.parse(source), "gancompress.nets.x", is_package=False))
    assert found == [
        ("gancompress.nets", "one"),
        ("gancompress.two", "three"),
        ("gancompress.four", ""),
    ]
    inside = list(imported(ast.parse("from .one import a"), "gancompress.nets", is_package=True))
    assert inside == [("gancompress.nets.one", "a")]
