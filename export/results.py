"""What an export says of itself for programs: `card.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gancompress.archs.plainarch import PlainArch
from gancompress.export.filetable import FileRow
from gancompress.export.latency import Latency
from gancompress.export.report import Row
from gancompress.storage.resultfiles import ResultFile


@dataclass(frozen=True, kw_only=True)
class ExportCard:
    """The tables of an export; its file holds the generator's facts and its teacher's origin, too.

    archs: of the rows behind the teacher's, by name. finetune: its own record, None for none.
    teacher_latency: in torch, timed in turn with the files. rows: the teacher's first, then that of
    what was exported. sha256: of the model files, by name. remarks: sentences below the table.
    """

    archs: Mapping[str, PlainArch] = field(default_factory=dict)
    finetune: Mapping[str, Any] | None = None
    teacher_latency: Latency | None = None
    rows: tuple[Row, ...]
    files: tuple[FileRow, ...]
    sha256: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


CARD = ResultFile[ExportCard](ExportCard, "export")
