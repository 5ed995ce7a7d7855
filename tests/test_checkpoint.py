"""Files are whole or absent, and reading them executes nothing."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gancompress.errors import CheckpointError
from gancompress.storage.checkpoint import (
    atomic_path,
    file_hash,
    load_state,
    load_tensors,
    read_json,
    read_record,
    remove_dead,
    remove_leftovers,
    save_state,
    save_tensors,
    write_json,
    write_record,
    write_text,
)


def tensors() -> dict[str, torch.Tensor]:
    whole = torch.arange(24.0).reshape(4, 6)
    return {
        "view": whole[:2, :3],
        "transposed": whole.T,
        "shared": whole,
        "channels_last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "count": torch.tensor(7),
    }


def test_tensors_come_back_equal_with_their_texts(tmp_path: Path) -> None:
    path, given = tmp_path / "a.safetensors", tensors()
    save_tensors(path, given, {"kind": "teacher", "name": "größe"})
    read, meta = load_tensors(path)
    assert meta == {"kind": "teacher", "name": "größe"}
    assert sorted(read) == sorted(given)
    for name, tensor in given.items():
        assert torch.equal(read[name], tensor)
        assert read[name].dtype == tensor.dtype


def test_a_view_is_written_without_the_tensor_that_it_looks_at(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", {"w": torch.zeros(1000, 1000)[:2, :2]}, {})
    assert (tmp_path / "a.safetensors").stat().st_size < 1000


def test_equal_tensors_give_equal_bytes_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from gancompress.storage.checkpoint import save_tensors;"
        "save_tensors(sys.argv[1], {'w': torch.ones(2)}, {c: c for c in 'qwertyuiop'})"
    )
    save_tensors(tmp_path / "here", {"w": torch.ones(2)}, {c: c for c in "poiuytrewq"})
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True)
    assert file_hash(tmp_path / "here") == file_hash(tmp_path / "there")


def test_states_come_back_equal_and_torch_reads_them_too(tmp_path: Path) -> None:
    state = {"step": 3, "adam": {0: torch.rand(3)}, "list": [1.5, "text", None, True]}
    save_state(tmp_path / "state.pt", state)
    for read in (
        load_state(tmp_path / "state.pt"),
        torch.load(tmp_path / "state.pt", weights_only=True),
    ):
        assert torch.equal(read["adam"].pop(0), state["adam"][0])
        assert read == {"step": 3, "adam": {}, "list": [1.5, "text", None, True]}


def test_equal_states_give_equal_bytes_under_different_names(tmp_path: Path) -> None:
    for name in ("one.pt", "other.pt"):
        save_state(tmp_path / name, {"a": torch.arange(5)})
    assert file_hash(tmp_path / "one.pt") == file_hash(tmp_path / "other.pt")


@pytest.mark.parametrize("kept", [0, 1, 7, 100, -1])
def test_truncated_files_are_refused_by_name(tmp_path: Path, kept: int) -> None:
    save_tensors(tmp_path / "w.safetensors", {"w": torch.ones(100)}, {"a": "b"})
    save_state(tmp_path / "state.pt", {"w": torch.ones(100)})
    write_json(tmp_path / "x.json", {"key": list(range(100))})
    for name, load in (
        ("w.safetensors", load_tensors),
        ("state.pt", load_state),
        ("x.json", read_json),
    ):
        path = tmp_path / name
        path.write_bytes(path.read_bytes().rstrip()[:kept])
        with pytest.raises(CheckpointError, match=f"{name}: .*truncated"):
            load(path)


def test_a_changed_byte_of_a_state_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"w": torch.ones(100)})
    content = bytearray(path.read_bytes())
    content[content.find(torch.ones(2).numpy().tobytes()) + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state.pt: truncated, changed"):
        load_state(path)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_loading_never_executes_code(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", {"x": Harmful(tmp_path / "proof")})
    with pytest.raises(CheckpointError, match=r"state.pt: holds objects other than tensors"):
        load_state(tmp_path / "state.pt")
    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(Harmful(tmp_path / "proof")))
    with pytest.raises(CheckpointError, match=r"w.safetensors: .*not a safetensors file"):
        load_tensors(tmp_path / "w.safetensors")
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("load", [load_state, load_tensors, read_json, file_hash])
def test_missing_files_and_folders_are_refused_by_name(tmp_path: Path, load: object) -> None:
    assert callable(load)
    with pytest.raises(CheckpointError, match=r"nothing.here: no such file"):
        load(tmp_path / "nothing.here")
    with pytest.raises(CheckpointError, match=r": cannot be read"):
        load(tmp_path)


def test_a_failed_block_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "before")
    with pytest.raises(ValueError, match="broken"), atomic_path(path) as temporary:
        temporary.write_text("after")
        raise ValueError("broken")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_the_temporary_file_is_beside_and_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "grid.png") as temporary:
        assert temporary.parent == tmp_path / "new"
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"x")
        assert not (tmp_path / "new" / "grid.png").exists()
    assert (tmp_path / "new" / "grid.png").read_bytes() == b"x"


def test_file_and_folder_reach_the_disk_before_and_after_the_renaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append(os.fstat(handle).st_ino))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    write_text(tmp_path / "x.txt", "x")
    file, folder = (tmp_path / "x.txt").stat().st_ino, tmp_path.stat().st_ino
    assert calls == [file, "replace", folder]


def test_a_full_disk_is_one_sentence_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path / "state.pt", [1])

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for save in (
        lambda p: save_state(p, [2]),
        lambda p: save_tensors(p, {"w": torch.ones(1)}, {}),
        lambda p: write_json(p, 2),
    ):
        with pytest.raises(CheckpointError, match=r"state.pt: no space left on disk; free some"):
            save(tmp_path / "state.pt")
    assert load_state(tmp_path / "state.pt") == [1]
    assert os.listdir(tmp_path) == ["state.pt"]


def test_writing_beyond_a_real_limit_is_the_same_sentence(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"big.pt: no space left on disk"):
            save_state(tmp_path / "big.pt", torch.zeros(100_000))
        with pytest.raises(CheckpointError, match=r"big.safetensors: no space left on disk"):
            save_tensors(tmp_path / "big.safetensors", {"w": torch.zeros(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match=r"file/x.txt: cannot be written"):
        write_text(tmp_path / "file" / "x.txt", "x")


def test_other_errors_of_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x.txt"):
        (tmp_path / "source").read_text()
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x.txt"):
        raise PermissionError(errno.EACCES, "denied", str(tmp_path / "source"))


def test_leftovers_of_killed_commands_can_be_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from gancompress.storage.checkpoint import atomic_path\n"
        "with atomic_path(sys.argv[1]) as t: t.write_text('x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.txt")], check=False)
    assert len(os.listdir(tmp_path)) == 1
    (tmp_path / "kept").write_text("x")
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["kept"]


def test_every_bit_of_a_record_counts(tmp_path: Path) -> None:
    path, record = tmp_path / "r.json", {"b": [1.5, {"ä": None}], 3: True, "a": (1, 2)}
    write_record(path, record)
    plain = {"b": [1.5, {"ä": None}], "3": True, "a": [1, 2]}
    assert read_record(path) == plain
    whole, noticed = path.read_bytes(), 0
    for place in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            found = read_record(path)
        except CheckpointError as error:
            noticed += str(error).startswith(f"{path}: ")
        else:  # Its own key was changed, or white space.
            assert plain == {key: found[key] for key in plain}
    assert noticed > 7 * len(whole)


def test_a_record_without_a_hash_is_read_as_it_is(tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", {"a": 1})
    assert read_record(tmp_path / "r.json") == {"a": 1}
    write_record(tmp_path / "r.json", {"a": 2, "digest": "of before"})
    assert read_record(tmp_path / "r.json") == {"a": 2}


def test_leftovers_of_the_dead_go_while_others_write(tmp_path: Path) -> None:
    write = "import sys, time; from gancompress.storage.checkpoint import atomic_path\n" + (
        "with atomic_path(sys.argv[1]) as t: t.write_text('x'); print(t.name, flush=True); "
    )
    names = []
    for name, end in (("deep/dead", "import os; os._exit(9)"), ("deep/alive", "time.sleep(60)")):
        command = [sys.executable, "-c", write + end, str(tmp_path / name)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        names.append(process.stdout.readline().strip())
        if name == "deep/dead":
            process.communicate()
    folder = tmp_path / "deep"
    machine, _, rest = names[1].removeprefix(".tmp-").partition("-")
    elsewhere = [folder / f".tmp-{'0' * 8}-{rest}{age}" for age in ("old", "young")]
    earlier = folder / f".tmp-{machine}-{os.getpid()}-{'0' * 12}-x"  # our number, another process
    version_before = folder / ".tmp-4194304999-140001-x"  # no system has such a process
    assert names[0] in os.listdir(folder)
    for path in (*elsewhere, earlier, version_before, folder / ".tmp-notes"):
        path.touch()
    os.utime(elsewhere[0], (0, 0))
    with process:
        with atomic_path(folder / "ours") as ours:
            ours.write_text("x")
            remove_dead(tmp_path)
        process.kill()
    assert sorted(os.listdir(folder)) == sorted([names[1], elsewhere[1].name, ".tmp-notes", "ours"])
