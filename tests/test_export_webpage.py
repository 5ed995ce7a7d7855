"""The page of the web folder, in a headless browser: as onnxruntime answers in Python."""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from browsing import opened, png, wait_until
from webmodels import KINDS, of_vectors, source

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from gancompress.errors import ExportError
from gancompress.export import web
from gancompress.export.formats import FORMATS
from gancompress.nets.families import family_of
from gancompress.supernet.cost import network_cost

NAMED = os.environ.get(web.VARIABLE)  # before `conftest` has put a stand-in there


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The web folder of a kind, with the real runtime."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(web.VARIABLE)
        if NAMED:
            patch.setenv(web.VARIABLE, NAMED)
        try:
            real = web.runtime_folder()
        except ExportError as error:
            pytest.skip(str(error))

    @cache
    def written(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(web.VARIABLE, str(real))
            given = of_vectors() if kind == "vectors" else source(kind)
            return web.write(given, folder).path

    return written


def last(page) -> tuple[torch.Tensor, torch.Tensor]:
    """The last run's input and raw output."""
    height, width, channels = page.evaluate(
        "[gancompress.last.dims[2], gancompress.last.dims[3], gancompress.last.dims[1]]"
    )
    got = [page.evaluate(f"Array.from(gancompress.last.{key})") for key in ("input", "output")]
    one, two = (
        torch.tensor(values, dtype=torch.float32).reshape(1, -1, height, width) for values in got
    )
    assert two.shape[1] == channels
    return one, two


def settled(page, more: int = 1, before: int = 0) -> None:
    wait_until(page, f"window.gancompress?.runs >= {before + more}")


def runs(page) -> int:
    return page.evaluate("gancompress.runs")


def pixels(page) -> torch.Tensor:
    """(H, W, 4) of the output canvas."""
    flat, height, width = page.evaluate(
        "(() => { const c = document.getElementById('output'); return [Array.from("
        "c.getContext('2d').getImageData(0, 0, c.width, c.height).data), c.height, c.width]; })()"
    )
    return torch.tensor(flat).reshape(height, width, 4)


def test_uploaded_picture_gives_what_onnxruntime_gives_in_python(folders) -> None:
    folder = folders("image")
    picture = torch.randint(0, 256, (24, 36, 3), generator=torch.Generator().manual_seed(5))
    with opened(folder) as (page, errors):
        settled(page)
        before = runs(page)
        page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png",
                                       "buffer": png(picture)})  # fmt: skip
        settled(page, 1, before)
        x, y = last(page)
        exact = picture.permute(2, 0, 1)[None].double() / 127.5 - 1
        assert torch.equal(x, exact.float())
        print(f"largest difference {(y - FORMATS['web'].load(folder)(x)).abs().max():.3g}")
        expected = FORMATS["web"].load(folder)(x)
        assert (y - expected).abs().max() <= 1e-3 and expected.std() > 0.1
        shown = ((expected[0].clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0)
        assert (pixels(page)[:, :, :3] - shown).abs().max() <= 0.51
        assert "ms per run at 36 × 24 pixels" in page.inner_text("#time")
        net = family_of("resnet", blocks=1).build(source("image").arch)
        macs = network_cost(net, torch.zeros(1, 3, 32, 40)).macs_true
        assert f"takes {macs / 1e6:.2f} million multiply-adds" in page.inner_text("#about")
    assert errors == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_answers_as_in_python(kind: str, folders) -> None:
    folder = folders(kind)
    with opened(folder) as (page, errors):
        settled(page)
        x, y = last(page)
        assert tuple(x.shape) == (1, KINDS[kind][1], 32, 40)
        example = source(kind).example
        plan = json.loads((folder / "page.json").read_text())
        own = plan["image"] or len(plan["classes"])
        assert (x[:, :own] - example[:, :own]).abs().max() <= 0.5 / 127.5 + 1e-6
        if kind == "domains":
            assert x[0, 3:].mean((1, 2)).tolist() == [1, 0]
            page.check("input[value=night]")
        if kind == "style":
            page.click("#style")
        if kind in ("domains", "style"):
            settled(page, 2)
            other, y = last(page)
            assert not torch.equal(x[:, 3:], other[:, 3:])
            assert torch.equal(x[:, :3], other[:, :3])
            x = other
        assert (y - FORMATS["web"].load(folder)(x)).abs().max() <= 1e-3
    assert errors == []


def test_drawing_by_mouse_keys_and_fill_changes_the_output(folders) -> None:
    with opened(folders("classes")) as (page, errors):
        settled(page)
        before, first = last(page)
        page.check("input[name=class][value='2']")
        box = page.locator("#input").bounding_box()
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 90, box["y"] + 60, steps=4)
        page.mouse.up()
        page.wait_for_timeout(300)
        x, y = last(page)
        assert x[0, 2].sum() > before[0, 2].sum() and not torch.equal(y, first)
        assert set(x[:, :4].sum(1).flatten().tolist()) == {1.0}
        page.check("input[name=tool][value=fill]")
        page.focus("#input")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Space")
        page.wait_for_timeout(300)
        filled, _ = last(page)
        assert filled[0, 2].sum() > x[0, 2].sum() and filled[0, 1].sum() < x[0, 1].sum()
        page.click("#undo")
        page.wait_for_timeout(300)
        assert torch.equal(last(page)[0], x)
        page.click("#clear")
        page.wait_for_timeout(300)
        assert last(page)[0][0, 0].min() == 1
    assert errors == []


def test_a_generator_of_random_numbers_offers_other_ones_and_nothing_to_draw(folders) -> None:
    folder = folders("vectors")
    with opened(folder) as (page, errors):
        settled(page)
        about = page.inner_text("#about")
        assert (
            "makes pictures of 5 random numbers" in about and "multiply-adds for a picture" in about
        )
        assert not page.is_visible("#input") and not page.is_visible("#file")
        inputs = "Array.from(gancompress.last.input)"
        first = page.evaluate(inputs)
        page.click("text=Another picture")
        settled(page, 2)
        values, outputs = page.evaluate(f"[{inputs}, Array.from(gancompress.last.output)]")
        assert len(values) == 5 and values != first
        assert page.evaluate("gancompress.last.dims") == [1, 3, 16, 16]
        expected = FORMATS["web"].load(folder)(torch.tensor(values).reshape(1, 5, 1, 1))
        assert (torch.tensor(outputs) - expected.flatten()).abs().max() <= 1e-3
    assert errors == []


@pytest.mark.parametrize(
    ("width", "height", "got"), [(37, 50, (36, 48)), (3, 3, (8, 8)), (700, 100, (512, 72))]
)
def test_free_sizes_are_rounded_down_and_capped(width, height, got, folders) -> None:
    with opened(folders("image")) as (page, errors):
        settled(page)
        before = runs(page)
        picture = torch.full((height, width, 3), 200)
        page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png",
                                       "buffer": png(picture)})  # fmt: skip
        settled(page, 1, before)
        assert tuple(last(page)[0].shape[:1:-1]) == got
    assert errors == []


def test_trouble_is_one_sentence_in_the_page(folders, tmp_path: Path) -> None:
    with opened(folders("image")) as (page, _):
        settled(page)
        page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png",
                                       "buffer": b"no picture"})  # fmt: skip
        page.wait_for_selector("#error:not([hidden])")
        assert page.inner_text("#error").startswith("a.png: not a picture")
    broken = tmp_path / "web"
    broken.mkdir()
    for path in (folders("image")).iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    whole = (broken / "model.onnx").read_bytes()
    (broken / "model.onnx").write_bytes(whole[: len(whole) // 2])
    with opened(broken) as (page, _):
        page.wait_for_selector("#error:not([hidden])")
        assert page.inner_text("#error").startswith("model.onnx: this browser cannot run it")
    about = json.loads((broken / "manifest.json").read_text())
    (broken / "manifest.json").write_text(json.dumps(about | {"version": 9}))
    with opened(broken) as (page, _):
        page.wait_for_selector("#error:not([hidden])")
        assert "of version 9; this page reads version 1" in page.inner_text("#error")


def test_opened_from_disk_it_says_what_to_do(folders) -> None:
    with opened(folders("image"), from_disk=True) as (page, _):
        assert "python -m http.server" in page.inner_text("#error")


def test_isolated_page_takes_threads_and_answers_alike(folders) -> None:
    folder = folders("image")
    with opened(folder, is_isolated=True) as (page, errors):
        settled(page)
        assert page.evaluate("crossOriginIsolated")
        x, y = last(page)
        assert (y - FORMATS["web"].load(folder)(x)).abs().max() <= 1e-3
    assert errors == []
