"""python scripts/make_docs.py: writes docs/recipes.md, the page of all recipe keys.

The page is made from the recipe's own models (`gancompress schema`) and from the comments of the
packaged recipes, so it can say nothing else than the code does. A test compares the committed page.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gancompress.recipe.reading import packaged_recipes, recipe_comment
from gancompress.recipe.schema import json_schema
from gancompress.storage.checkpoint import write_text

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"
SECTIONS = ("data", "family", "task", "teacher", "space", "supernet", "metrics", "search",
            "finetune", "export")  # fmt: skip
Schema = dict[str, Any]

INTRODUCTION = """\
# Recipes

<!-- Made by `python scripts/make_docs.py` from the recipe's models; do not edit by hand. -->

A recipe is a YAML file that describes one compression: the images, the generator's family, the
task, and how each stage is run. Every command takes a recipe file or the name of a packaged recipe,
and `key=value` arguments that change it: `gancompress run quickstart search.reduction=10`. Unknown
keys and wrong values are refused before anything runs, all of them at once. `--dry-run` prints the
recipe with every default filled in.

`gancompress schema > recipe.schema.json` writes the JSON schema by which editors complete and check
recipes: begin the file with `# yaml-language-server: $schema=recipe.schema.json`.

A key without a default is required. `null` stands for "not given".
"""


def page() -> str:
    """The whole page, as Markdown."""
    schema = json_schema()
    parts = [INTRODUCTION, _packaged()]
    top = {key: about for key, about in schema["properties"].items() if key not in SECTIONS}
    parts.append("## Keys of the whole recipe\n\n" + _table(top, {"name": None}, ()))
    defs = schema["$defs"]
    linked: list[str] = []
    for key in SECTIONS:
        about = schema["properties"][key]
        title = f"## {key}\n\n{_sentence(about['description'])}\n"
        if "discriminator" in about:
            parts.append(title + _variants(key, about["discriminator"]["mapping"], defs))
        else:
            model = defs[_ref(about)]
            linked += _refs(model)
            parts.append(f"{title}\n{_model_table(model)}")
    for name in dict.fromkeys(linked):
        title = f"## metrics.{_heading(name)}\n\n{_prose(_first(defs[name]))}\n"
        parts.append(f"{title}\n{_model_table(defs[name])}")
    return "\n".join(parts)


def _packaged() -> str:
    """The packaged recipes, each with the comment at its top."""
    text = "## Packaged recipes\n"
    for name in packaged_recipes():
        command, *comment = recipe_comment(name)
        text += f"\n### {name}\n\n`{command}`\n\n{_prose(' '.join(' '.join(comment).split()))}\n"
    return text


def _variants(key: str, mapping: dict[str, str], defs: Schema) -> str:
    """A table for each model that `key.name` chooses; keys that all of them have come first."""
    models = {name: defs[place.rpartition("/")[2]] for name, place in mapping.items()}
    first, *others = (model["properties"] for model in models.values())
    shared = [k for k in first if k != "name" and all(o.get(k) == first[k] for o in others)]
    text = f"\n`{key}.name` chooses one of: {', '.join(f'`{name}`' for name in models)}.\n"
    if shared:
        table = _table({k: first[k] for k in shared}, {}, ())
        text += f"\nEvery one of them has:\n\n{table}"
    for name, model in models.items():
        keys = {k: v for k, v in model["properties"].items() if k not in ("name", *shared)}
        text += f"\n### {key}: {name}\n\n{_prose(_first(model))}\n"
        if keys:
            text += f"\n{_table(keys, {}, model.get('required', ()))}"
    return text


def _model_table(model: Schema) -> str:
    return _table(model["properties"], {}, model.get("required", ()))


def _table(keys: Schema, defaults: Schema, required: Any) -> str:
    """defaults: those that the schema does not have."""
    lines = ["| key | allowed | default | meaning |", "|---|---|---|---|"]
    for key, about in keys.items():
        default = about.get("default", defaults.get(key))
        shown = "required" if key in required else f"`{json.dumps(default, ensure_ascii=False)}`"
        meaning = _prose(about.get("description", ""))
        lines.append(f"| `{key}` | {_allowed(about)} | {shown} | {meaning} |")
    return "\n".join(lines) + "\n"


def _allowed(about: Schema) -> str:
    """What a value may be, in words."""
    if "$ref" in about:
        return f"keys of [{_heading(_ref(about))}](#metrics{_heading(_ref(about))})"
    if choices := about.get("anyOf", about.get("oneOf")):
        return " or ".join(dict.fromkeys(map(_allowed, choices)))
    if "enum" in about:
        return ", ".join(f"`{value}`" for value in about["enum"])
    if "const" in about:
        return f"`{about['const']}`"
    kind = about.get("type", "any value")
    if kind == "array":
        return _allowed_list(about)
    if kind == "object":
        return f"{{name: {_allowed(about['additionalProperties'])}}}"
    names = {"boolean": "`true`, `false`", "null": "`null`", "string": "text"}
    return names.get(kind, kind) + _bounds(about)


def _allowed_list(about: Schema) -> str:
    if "prefixItems" in about:
        return f"[{', '.join(map(_allowed, about['prefixItems']))}]"
    item = _allowed(about["items"])
    size = about.get("minItems", 0)
    fixed = size if size == about.get("maxItems") else 0
    return f"[{', '.join([item] * fixed)}]" if fixed else f"list of: {item}"


def _bounds(about: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {about[word]}" for word, sign in signs.items()
             if word in about and abs(about[word]) < 2**53]  # fmt: skip
    if "multipleOf" in about:
        found.append(f"a multiple of {about['multipleOf']}")
    return " " + ", ".join(found).replace("<", "&lt;") if found else ""


def _refs(model: Schema) -> list[str]:
    """Names of the sections that stand within a section."""
    choices = [c for about in model["properties"].values() for c in about.get("anyOf", [])]
    return [_ref(choice) for choice in choices if "$ref" in choice]


def _ref(about: Schema) -> str:
    return str(about["$ref"]).rpartition("/")[2]


def _heading(name: str) -> str:
    return name.removesuffix("Options").lower()


def _first(model: Schema) -> str:
    """The first paragraph of a model's docstring."""
    return " ".join(str(model.get("description", "")).partition("\n\n")[0].split())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _prose(text: str) -> str:
    """Text with what Markdown and tables would take for markup escaped, code left as it is."""
    parts = text.replace("|", "\\|").split("`")
    for i in range(0, len(parts), 2):
        for mark, escaped in (("*", "\\*"), ("<", "&lt;"), ("[", "\\["), ("_", "\\_")):
            parts[i] = parts[i].replace(mark, escaped)
    return "`".join(parts)


if __name__ == "__main__":
    write_text(PAGE, page())
    print(PAGE)
