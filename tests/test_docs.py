"""README and pages: links that lead somewhere, generated pages up to date, examples that run.

`mkdocs build --strict` in .ci/run checks the links of the pages; README is none of them.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import conformance
from gancompress.cli.commands import app
from gancompress.nets.families import FAMILIES
from gancompress.recipe.reading import load_recipe, packaged_recipes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def loaded(path: Path) -> ModuleType:
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def anchors(page: Path) -> set[str]:
    """The anchors that headings of a page get on GitHub and from mkdocs."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    """Links of a page to files or headings that are not there; hosts are not asked."""
    dead = []
    for target in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        place, _, anchor = target.partition("#")
        file = page.parent / place if place else page
        if target.startswith(("http://", "https://")):
            continue
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(f"{page.name}: {target}")
    return dead


@pytest.mark.parametrize("name", [*OUTSIDE, *sorted(f"docs/{p.name}" for p in DOCS.glob("*.md"))])
def test_links_between_files_lead_somewhere(name: str) -> None:
    assert dead_links(ROOT / name) == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "x.md"
    page.write_text("# A b\n[1](#a-b) [2](#b) [3](y.md) [4](x.md#a-b) `[5](z.md)` [6](https://a)")
    assert dead_links(page) == ["x.md: #b", "x.md: y.md"]


def test_readme_is_short_and_has_both_commands() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.encode()) <= 10_000
    for script in ("quickstart.sh", "test.sh"):
        assert f"bash scripts/{script}" in readme and (ROOT / "scripts" / script).is_file()


def test_the_page_of_recipes_is_what_the_models_say() -> None:
    page = loaded(ROOT / "scripts" / "make_docs.py").page()
    assert (DOCS / "recipes.md").read_text("utf-8") == page, "run python scripts/make_docs.py"
    for name in packaged_recipes():
        assert f"### {name}\n" in page


def test_every_page_is_in_the_navigation() -> None:
    pages = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    assert sorted(pages) == sorted(path.name for path in DOCS.glob("*.md"))


def test_commands_in_the_pages_are_commands() -> None:
    commands = {str(command.name) for command in app.registered_commands}
    named: set[str] = set()
    for page in [ROOT / "README.md", *DOCS.glob("*.md")]:
        text = page.read_text("utf-8")
        blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
        named |= set(re.findall(r"^gancompress ([a-z-]+)", blocks, re.MULTILINE))
        named |= set(re.findall(r"`gancompress ([a-z-]+)[ `]", text))
    assert named - commands == set() and len(named) >= 15


@pytest.mark.parametrize("name", ["README.md", "docs/data.md"])
def test_recipes_in_the_pages_are_recipes(name: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 1
    (tmp_path / "shoes.yaml").write_text(blocks[0], "utf-8")
    assert load_recipe(str(tmp_path / "shoes.yaml"), []).task.name == "pix2pix"


@pytest.fixture
def hourglass(monkeypatch: pytest.MonkeyPatch) -> conformance.Case:
    """The example family, registered by the one line that its page names."""
    options = loaded(DOCS / "example_family.py").HourglassOptions
    monkeypatch.setitem(FAMILIES, "hourglass", options)
    return conformance.mixed("hourglass")


def test_the_example_of_a_family_keeps_what_families_owe(
    hourglass: conformance.Case, tmp_path: Path
) -> None:
    conformance.check_output_equals_extracted(
        hourglass, training=True, bf16=False, channels_last=False, grad=True
    )
    conformance.check_gradients_equal_extracted(hourglass)
    conformance.check_taps_are_features_of_the_trunk(hourglass)
    conformance.check_permuted_slots_compute_the_same(hourglass, hourglass.archs(3))
    conformance.check_cost_model_equals_measurement(hourglass)
    conformance.check_exported_weights_rebuild_the_network(hourglass, tmp_path)


def test_the_page_on_families_shows_the_example() -> None:
    page, code = (DOCS / name for name in ("add-a-family.md", "example_family.py"))
    shown = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)[0]
    assert shown in code.read_text("utf-8")
