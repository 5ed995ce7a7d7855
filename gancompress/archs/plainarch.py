"""An arch as the field of a dataclass that pydantic reads from plain JSON and writes so."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

from gancompress.archs.arch import Arch

# Raises: ArchError for what is no arch, which pydantic passes on as it is.
PlainArch = Annotated[Arch, PlainValidator(Arch.from_dict), PlainSerializer(Arch.as_dict)]
