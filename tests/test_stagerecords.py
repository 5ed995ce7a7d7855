"""What stage.json says, as every version has written it, and what is no such record."""

from __future__ import annotations

from typing import Any

import pytest

from gancompress.storage.stagerecords import StageRecord, record_of

BEGUN = {
    "kind": "search",
    "finished": False,
    "sections": {"seed": 1},
    "parents": {"teacher": "ab"},
    "contents": {"data": "cd"},
    "versions": {"torch": "2"},
}
DONE = {
    **BEGUN,
    "finished": True,
    "artefact": "front.json",
    "sha256": "ef",
    "files": {"trials.json": "01"},
    "extra": {},
}


@pytest.mark.parametrize("plain", [BEGUN, DONE])
def test_a_record_is_written_in_its_order_and_read_back(plain: dict[str, Any]) -> None:
    record = record_of(plain, "search")
    assert record == StageRecord(**plain)
    assert list(record.as_dict().items()) == list(plain.items())
    assert record_of(plain, "export") is None


def test_records_of_earlier_versions_lack_contents_and_files() -> None:
    earlier = {k: v for k, v in DONE.items() if k not in ("contents", "files", "versions")}
    record = record_of(earlier, "search")
    assert record is not None and record.contents is None and record.files == {}


@pytest.mark.parametrize(
    "change",
    [
        {"finished": 1},
        {"sections": []},
        {"parents": {"teacher": 3}},
        {"contents": 3},
        {"files": []},
        {"artefact": None},
        {"sha256": ""},
        {"extra": 3},
    ],
)
def test_what_a_stage_cannot_rely_on_is_no_record(change: dict[str, Any]) -> None:
    assert record_of({**DONE, **change}, "search") is None
    assert record_of([], "search") is None and record_of({}, "search") is None
