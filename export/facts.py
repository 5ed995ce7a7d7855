"""What a user of a generator's file should know beside shapes: what each input channel means."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from gancompress.data.images import Reading
from gancompress.errors import ExportError
from gancompress.fields.types import Byte, LabelKind


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts in the order of a manifest, which leaves out what is None or empty.

    recipe, data: their names. domains: what label channels ask for, one of them at a time if labels
    are "exclusive". latent: how many random numbers the generator takes and nothing else. input,
    label_planes, style_planes, class_planes: sentences for people. enlargement: the output's side
    over the input's. max_value, background: how images were read that it learnt from. classes:
    names, of an input channel each.
    """

    recipe: str | None = None
    data: str | None = None
    domains: tuple[str, ...] = ()
    labels: LabelKind | None = None
    label_planes: str | None = None
    latent: int | None = None
    input: str | None = None
    style_planes: str | None = None
    enlargement: int | None = None
    max_value: Annotated[float, Field(gt=0)] | None = None
    background: tuple[Byte, Byte, Byte] | None = None
    classes: tuple[str, ...] = ()
    class_planes: str | None = None

    @property
    def channels(self) -> list[str]:
        """The sentences that say what input channels mean, those of labels first."""
        return [*filter(None, (self.label_planes, self.class_planes, self.style_planes))]

    @property
    def reading(self) -> Reading:
        """How files are understood, as those that the generator learnt from were."""
        return Reading(self.max_value, self.background)

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {key: value for key, value in asdict(self).items() if value not in (None, ())}


_FACTS = TypeAdapter(Facts)
# What a message says of the keys that hold no text.
_ALLOWED = {
    "domains": "a list of names",
    "labels": "exclusive or independent",
    "latent": "a whole number",
    "enlargement": "a whole number",
    "max_value": "a number above 0",
    "background": "[red, green, blue]",
    "classes": "a list of names",
    "facts": "an object",
}


def read_facts(plain: object, where: str) -> Facts:
    """Inverse of `Facts.as_dict`; other keys are passed over.

    Raises: ExportError naming `where`, a file, if a fact is not what it may be.
    """
    try:
        return _FACTS.validate_python(plain)
    except ValidationError as error:
        key = str(next(iter(error.errors()[0]["loc"]), "facts"))
        found = plain.get(key) if isinstance(plain, dict) else plain
        allowed = _ALLOWED.get(key, "a text")
        raise ExportError(
            f"{where}: {key}: found {found!r} in the model's card; {allowed} is allowed"
        ) from None
