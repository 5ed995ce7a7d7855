"""`gancompress apply`: answers equal the generator's own, and nothing bad stops the rest."""

from pathlib import Path

import numpy as np
import pytest
import torch
from images import noise, save
from PIL import Image
from typer.testing import CliRunner

from gancompress.apps.apply import BATCH_PIXELS, Applied, apply
from gancompress.apps.applyinputs import InputOptions
from gancompress.cli.commands import app
from gancompress.data.images import to_tensor
from gancompress.data.labelchannels import label_channels
from gancompress.errors import DataError, ExportError
from gancompress.export.card import Card, ExportSource, Model
from gancompress.export.facts import Facts
from gancompress.export.weights import write
from gancompress.nets.families import family_of
from gancompress.nets.layers.features import Bands

FAMILY = family_of("resnet", in_channels=3, out_channels=3, blocks=1)
ARCH = FAMILY.arch([8, 4, 8, 4, 4, 8])
CARD = Card(FAMILY.options, 3, 3, (32, 32), 4)


def net(inputs=3, outputs=3):
    torch.manual_seed(0)
    family = family_of("resnet", in_channels=inputs, out_channels=outputs, blocks=1)
    return family.build(ARCH).eval()


def model(card=CARD):
    return Model(net(card.in_channels, card.out_channels), ARCH, card, "model.safetensors")


def quiet(text):
    """Says nothing."""


def to_pixels(answer):
    """(H, W, C) uint8 of one answer (1, C, H, W), by the definition of the range."""
    scaled = (answer[0].clamp(-1, 1).double() + 1) / 2 * 255
    return scaled.round().to(torch.uint8).permute(1, 2, 0).numpy()


def read(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("height, width", [(32, 32), (33, 42), (5, 3), (1, 1), (16, 41)])
def test_an_answer_is_the_generator_s_on_the_mirrored_picture_cropped(tmp_path, height, width):
    picture = noise(height, width)
    path, out = save(tmp_path / "in" / "a.png", picture), tmp_path / "out" / "a.png"
    assert apply(model(), path, out, say=quiet) == Applied(1, 0, ())
    below, right = (max(-n % 4, 8 - n) for n in (height, width))
    padded = np.pad(picture, ((0, below), (0, right), (0, 0)), mode="reflect")
    expected = to_pixels(model()(to_tensor(padded[None])))[:height, :width]
    assert np.array_equal(read(out), expected)


def test_a_batch_answers_as_one_by_one_and_folders_are_kept(tmp_path):
    for i, place in enumerate(["a.png", "b/c.jpg", "b/d/e.bmp", "f.png", "g.png"]):
        save(tmp_path / "in" / place, noise(20 if i == 3 else 16, 16, seed=i))
    together = apply(model(), tmp_path / "in", tmp_path / "three", say=quiet, batch=3)
    alone = apply(model(), tmp_path / "in", tmp_path / "one", say=quiet, batch=1)
    assert together == alone == Applied(5, 0, ())
    for place in ["a.png", "b/c.png", "b/d/e.png", "f.png", "g.png"]:
        assert np.array_equal(read(tmp_path / "three" / place), read(tmp_path / "one" / place))


def test_a_resumed_run_does_only_what_is_lacking(tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", noise(16, 16, seed=i))
    out, inputs = tmp_path / "out", []
    counted = Model(lambda x: inputs.append(x) or x, ARCH, CARD, "model")
    assert apply(counted, tmp_path / "in", out, say=quiet) == Applied(3, 0, ())
    (out / "1.png").unlink()
    before = (out / "0.png").stat().st_mtime_ns
    assert apply(counted, tmp_path / "in", out, say=quiet) == Applied(1, 2, ())
    assert [len(x) for x in inputs] == [3, 1]
    assert apply(counted, tmp_path / "in", out, say=quiet) == Applied(0, 3, ())
    assert len(inputs) == 2 and (out / "0.png").stat().st_mtime_ns == before
    assert apply(counted, tmp_path / "in", out, say=quiet, redo=True) == Applied(3, 0, ())
    assert sorted(path.name for path in out.iterdir()) == ["0.png", "1.png", "2.png"]


def test_what_cannot_be_read_is_left_out_and_told(tmp_path):
    good = save(tmp_path / "in" / "good.png", noise(16, 16))
    (tmp_path / "in" / "cut.png").write_bytes(good.read_bytes()[:300])
    (tmp_path / "in" / "empty.jpg").touch()
    save(tmp_path / "in" / "clear.png", np.full((8, 8, 4), 9, np.uint8))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    save(tmp_path / "in" / ".hidden.png", noise(8, 8))
    said = []
    got = apply(model(), tmp_path / "in", tmp_path / "out", say=said.append)
    assert (got.written, got.present, len(got.left_out)) == (1, 0, 3)
    told = "\n".join(said)
    for word in ("1 written, 3 left out", "cut.png: cannot be read", "empty.jpg: the file is empty",
                 "clear.png: has transparent pixels"):  # fmt: skip
        assert word in told
    with pytest.raises(DataError, match=r"none of 1 image\(s\) could be used; .*empty.jpg"):
        apply(model(), tmp_path / "in" / "empty.jpg", tmp_path / "nothing", say=quiet)
    assert not (tmp_path / "nothing").exists()


def test_gray_and_colour_become_what_the_generator_takes(tmp_path):
    gray = save(tmp_path / "gray.png", noise(16, 16, 1))
    apply(model(), gray, tmp_path / "rgb.png", say=quiet)
    expected = to_pixels(model()(to_tensor(noise(16, 16, 1).repeat(3, 2)[None])))
    assert np.array_equal(read(tmp_path / "rgb.png"), expected)
    card = Card({}, 1, 1, (16, 16), 4)
    apply(model(card), gray, tmp_path / "one.png", say=quiet)
    expected = to_pixels(model(card)(to_tensor(noise(16, 16, 1)[None])))
    assert np.array_equal(read(tmp_path / "one.png"), expected[..., 0])


def test_answers_that_no_png_holds_are_arrays(tmp_path):
    card = Card({}, 3, 2, (16, 16), 4)
    path = save(tmp_path / "a.png", noise(16, 16))
    apply(model(card), path, tmp_path / "out", say=quiet)
    expected = to_pixels(model(card)(to_tensor(noise(16, 16)[None])))
    assert np.array_equal(np.load(tmp_path / "out" / "a.npy"), expected)


def test_a_file_of_fixed_size_resizes_and_says_so_once(tmp_path):
    for i in range(2):
        save(tmp_path / "in" / f"{i}.png", noise(40, 50, seed=i))
    said = []
    apply(model(CARD.static()), tmp_path / "in", tmp_path / "out", say=said.append, batch=1)
    assert sum("its size is fixed, every image is resized to 32x32" in text for text in said) == 1
    small = Image.fromarray(noise(40, 50)).resize((32, 32), Image.Resampling.BICUBIC)
    expected = to_pixels(model()(to_tensor(np.asarray(small)[None])))
    assert np.array_equal(read(tmp_path / "out" / "0.png"), expected)
    apply(model(), tmp_path / "in", tmp_path / "free", InputOptions(size=(32, 32)), say=quiet)
    assert np.array_equal(read(tmp_path / "free" / "0.png"), expected)
    with pytest.raises(ExportError, match="size is fixed; leave --size out or give 32x32"):
        apply(
            model(CARD.static()), tmp_path / "in", tmp_path / "x", InputOptions(size=(8, 8)), quiet
        )


def test_domains_and_style_are_planes_behind_the_image(tmp_path):
    facts = Facts(domains=("sad", "happy"), style_planes="the last 2")
    card = Card({"style": 2}, 7, 3, (16, 16), 4, facts=facts)
    path = save(tmp_path / "a.png", noise(16, 16))
    options = InputOptions(domains=("happy",), seed=5)
    apply(model(card), path, tmp_path / "out.png", options, quiet)
    code = np.random.default_rng(5).standard_normal(2)
    channels = torch.tensor([0.0, 1.0, *code]).float()[None, :, None, None].expand(1, 4, 16, 16)
    x = torch.cat([to_tensor(noise(16, 16)[None]), channels], 1)
    assert np.array_equal(read(tmp_path / "out.png"), to_pixels(model(card)(x)))
    for domains, found in (((), "no domain is asked"), (("glad",), "--domain glad is none")):
        with pytest.raises(ExportError, match=f"{found}.* one of sad, happy"):
            apply(model(card), path, tmp_path / "no.png", InputOptions(domains=domains), quiet)
    with pytest.raises(ExportError, match="has no domains"):
        apply(model(), path, tmp_path / "no.png", options, quiet)


def test_label_maps_are_read_by_ids_colours_and_instances(tmp_path):
    random = np.random.default_rng(0)
    ids = random.choice(np.array([0, 1, 2, 255], np.uint8), (18, 16))
    instances = random.integers(0, 9, (18, 16), np.uint8)
    path = save(tmp_path / "in" / "deep" / "a.png", ids[..., None])
    save(tmp_path / "instances" / "deep" / "a.bmp", instances[..., None])
    card = Card({}, 5, 3, (16, 16), 4, facts=Facts(classes=("sea", "land", "ice")))
    options = InputOptions(unknown=255, instances=tmp_path / "instances")
    apply(model(card), tmp_path / "in", tmp_path / "out", options, quiet)
    classes = np.where(ids == 255, 3, ids)
    padded = [np.pad(x, ((0, 2), (0, 0)), mode="reflect")[None] for x in (classes, instances)]
    expected = to_pixels(model(card)(label_channels(padded[0], 4, padded[1])))[:18]
    assert np.array_equal(read(tmp_path / "out" / "deep" / "a.png"), expected)
    # The same pair, its name spelled by two systems: one letter, or a letter and its accent.
    (tmp_path / "in" / "deep" / "a.png").rename(tmp_path / "in" / "deep" / "\u00e9.png")
    (tmp_path / "instances" / "deep" / "a.bmp").rename(
        tmp_path / "instances" / "deep" / "e\u0301.BMP"
    )
    apply(model(card), tmp_path / "in", tmp_path / "out", options, quiet)
    assert np.array_equal(read(tmp_path / "out" / "deep" / "\u00e9.png"), expected)
    path = tmp_path / "in" / "deep" / "\u00e9.png"
    table, coloured = (
        tmp_path / "table.txt",
        np.array([[9, 9, 9], [200, 0, 0], [0, 7, 0]], np.uint8),
    )
    table.write_text("9 9 9 sea\n200 0 0 land\n0 7 0 ice\n")
    plain = Card({}, 3, 3, (16, 16), 4, facts=Facts(classes=("sea", "land", "ice")))
    for name, picture, told in (
        ("ids", (ids % 3)[..., None], InputOptions()),
        ("colours", coloured[ids % 3], InputOptions(colours=table)),
    ):
        save(tmp_path / f"{name}.png", picture)
        apply(model(plain), tmp_path / f"{name}.png", tmp_path / f"{name}-out.png", told, quiet)
    assert np.array_equal(read(tmp_path / "ids-out.png"), read(tmp_path / "colours-out.png"))
    with pytest.raises(ExportError, match=r"takes 2 channel\(s\) .* --instances FOLDER"):
        apply(model(card), path, tmp_path / "no.png", InputOptions(unknown=255), quiet)
    with pytest.raises(ExportError, match="takes no borders of instances"):
        apply(model(plain), path, tmp_path / "no.png", options, quiet)


def test_no_answer_takes_the_place_of_another_or_of_an_image(tmp_path):
    for i, name in enumerate(["a.png", "a.jpg"]):
        save(tmp_path / "in" / name, noise(16, 16, seed=i))
    inside = tmp_path / "in" / "out"
    assert apply(model(), tmp_path / "in", inside, say=quiet).written == 2
    assert apply(model(), tmp_path / "in", inside, say=quiet) == Applied(0, 2, ())
    assert sorted(p.name for p in inside.iterdir()) == ["a.jpg.png", "a.png.png"]
    save(tmp_path / "single" / "a.png", noise(16, 16))
    with pytest.raises(DataError, match="is an image to read; give another folder"):
        apply(model(), tmp_path / "single", tmp_path / "single", say=quiet)
    with pytest.raises(DataError, match="answers are written as .png"):
        apply(model(), tmp_path / "in" / "a.png", tmp_path / "b.jpg", say=quiet)
    with pytest.raises(DataError, match="is a file, and .* a folder"):
        apply(model(), tmp_path / "in", tmp_path / "single" / "a.png", say=quiet)


def test_deep_files_are_scaled_as_in_training_or_as_told(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (16, 16)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    eight = np.floor(values * 255.0 / 4095 + 0.5).astype(np.uint8)
    expected = to_pixels(model()(to_tensor(eight[None, ..., None].repeat(3, 3))))
    trained = Card(FAMILY.options, 3, 3, (32, 32), 4, facts=Facts(max_value=4095))
    apply(model(trained), tmp_path / "a.png", tmp_path / "out.png", say=quiet)
    assert np.array_equal(read(tmp_path / "out.png"), expected)
    apply(model(), tmp_path / "a.png", tmp_path / "told.png", InputOptions(max_value=4095), quiet)
    assert np.array_equal(read(tmp_path / "told.png"), expected)
    with pytest.raises(DataError, match=r"a\.png: 16-bit values .* --max-value of apply"):
        apply(model(), tmp_path / "a.png", tmp_path / "no.png", say=quiet)


def test_an_answer_that_is_not_finite_is_left_out(tmp_path):
    save(tmp_path / "in" / "a.png", noise(16, 16))
    save(tmp_path / "in" / "b.png", np.zeros((16, 16, 3), np.uint8))
    broken = Model(lambda x: x / (x + 1).sum(dim=(1, 2, 3), keepdim=True), ARCH, CARD, "model")
    got = apply(broken, tmp_path / "in", tmp_path / "out", say=quiet)
    assert (
        got.written == 1 and "b.png: the answer holds values that are not finite" in got.left_out[0]
    )


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["apply", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return write(ExportSource(net(), ARCH, CARD, torch.zeros(1, 3, 32, 32)), folder).path


def test_the_command_writes_and_resumes(exported, tmp_path):
    save(tmp_path / "in" / "a.png", noise(16, 18))
    code, out = call(exported.parent, tmp_path / "in", tmp_path / "out", "--threads", 1)
    assert code == 0 and "1 written" in out
    expected = to_pixels(
        model()(to_tensor(np.pad(noise(16, 18), ((0, 0), (0, 2), (0, 0)), "reflect")[None]))
    )
    assert np.array_equal(read(tmp_path / "out" / "a.png"), expected[:, :18])
    code, out = call(exported, tmp_path / "in", tmp_path / "out")
    assert code == 0 and "0 written, 1 there already (--redo makes them anew)" in out


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["nowhere", "in", "out"], "nowhere: no such file or folder"),
        (["in", "in", "out"], "in: no model in it"),
        (["in/a.png", "in", "out"], "in/a.png: not a model file"),
        (["MODEL", "nowhere", "out"], "nowhere: no such file or folder; give an image"),
        (["MODEL", "empty", "out"], "empty: no images in it"),
        (["MODEL", "in", "out", "--size", "256"], "--size 256: not a size"),
        (["MODEL", "in", "out", "--domain", "x"], "has no domains"),
        (["MODEL", "two.npy", "out"], "has 2 channels and 3 are asked for"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments, sentence, exported, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    save(Path("in/a.png"), noise(8, 8))
    Path("empty").mkdir()
    np.save("two.npy", noise(8, 8, 2))
    code, out = call(*(str(exported) if a == "MODEL" else a for a in arguments))
    assert code == 2 and sentence in out and out.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.parametrize("height, width", [(8, 8), (9, 13), (1, 3)])
def test_enlarged_answers_are_kept_without_the_padding(tmp_path, height, width):
    torch.manual_seed(0)
    family = family_of("srresnet", blocks=1, scale=4)
    arch = family.uniform(16, bands=Bands(0.5))
    card = Card(family.options, 3, 3, (8, 8), family.multiple(arch))
    larger = Model(family.build(arch).eval(), arch, card, "model.safetensors")
    picture = noise(height, width)
    path, out = save(tmp_path / "in" / "a.png", picture), tmp_path / "out" / "a.png"
    assert apply(larger, path, out, say=quiet) == Applied(1, 0, ())
    below, right = (max(-n % 2, 4 - n) for n in (height, width))
    padded = np.pad(picture, ((0, below), (0, right), (0, 0)), mode="reflect")
    expected = to_pixels(larger(to_tensor(padded[None])))[: 4 * height, : 4 * width]
    assert np.array_equal(read(out), expected) and expected.shape[:2] == (4 * height, 4 * width)


@pytest.mark.parametrize("shape", [(16, 8), (4, 4), (12, 12)])
def test_answers_of_unclear_size_are_refused(tmp_path, shape):
    odd = Model(lambda x: x.new_zeros(len(x), 3, *shape), ARCH, CARD, "model.onnx")
    path = save(tmp_path / "a.png", noise(8, 8))
    with pytest.raises(ExportError, match=f"model.onnx: answers {shape[0]}x{shape[1]} to 8x8"):
        apply(odd, path, tmp_path / "out", say=quiet)


def test_large_images_go_through_one_by_one(tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", np.full((1024, 600, 3), i, np.uint8))
        save(tmp_path / "in" / f"small{i}.png", noise(512, 512, seed=i))
        save(tmp_path / "in" / f"tiny{i}.png", noise(16, 16, seed=i))
    inputs = []
    counted = Model(lambda x: inputs.append(tuple(x.shape)) or x, ARCH, CARD, "model")
    assert apply(counted, tmp_path / "in", tmp_path / "out", say=quiet).written == 9
    large, small, tiny = (1, 3, 1024, 600), (3, 3, 512, 512), (3, 3, 16, 16)
    assert inputs == [large, large, large, small, tiny]
    assert BATCH_PIXELS == 1024 * 1024


def test_another_size_than_trained_is_told_once(tmp_path):
    for i, side in enumerate([32, 16, 16, 48]):
        save(tmp_path / "in" / f"{i}.png", noise(side, side + 4 * (side > 16), seed=i))
    save(tmp_path / "in" / "trained.png", noise(32, 32))
    said = []
    apply(model(), tmp_path / "in", tmp_path / "out", say=said.append)
    assert [text for text in said if "was trained" in text] == [
        "note: model.safetensors was trained at 32x32 pixels and is applied to 4 of 5 image(s) at "
        f"other sizes, such as 32x36 ({tmp_path}/in/0.png); --size 32x32 resizes them"
    ]
    for options, given in (
        (InputOptions(size=(64, 64)), model()),
        (InputOptions(), model(CARD.static())),
    ):
        said = []
        apply(given, tmp_path / "in", tmp_path / "out", options, said.append, redo=True)
        assert not any("was trained" in text for text in said)


def test_too_little_memory_for_an_image_leaves_it_out(tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", noise(16 + 16 * (i == 1), 16, seed=i))

    def hungry(x):
        return torch.empty(2**60) if x.shape[2] == 32 else x

    got = apply(Model(hungry, ARCH, CARD, "model"), tmp_path / "in", tmp_path / "out", say=quiet)
    assert got.written == 2 and len(got.left_out) == 1
    assert "1.png: too little memory for 32x16; give --size" in got.left_out[0]
    with pytest.raises(RuntimeError, match="something else"):
        broken = Model(lambda x: (_ for _ in ()).throw(RuntimeError("something else")), ARCH, CARD,
                       "model")  # fmt: skip
        apply(broken, tmp_path / "in", tmp_path / "more", say=quiet)


def test_transparent_pixels_show_the_background_of_the_training_or_the_one_told(tmp_path):
    pixels = noise(16, 16, 4)
    path = save(tmp_path / "a.png", pixels)
    alpha = pixels[..., 3:] / 255
    for facts, options, colour in (
        (Facts(background=(255, 0, 9)), InputOptions(), (255, 0, 9)),
        (Facts(background=(255, 0, 9)), InputOptions(background=(0, 0, 0)), (0, 0, 0)),
        (Facts(), InputOptions(background=(255, 255, 255)), (255, 255, 255)),
    ):
        shown = np.floor(pixels[..., :3] * alpha + np.array(colour) * (1 - alpha) + 0.5)
        expected = to_pixels(model()(to_tensor(shown.astype(np.uint8)[None])))
        card = Card(FAMILY.options, 3, 3, (32, 32), 4, facts=facts)
        apply(model(card), path, tmp_path / "out.png", options, quiet, redo=True)
        assert np.array_equal(read(tmp_path / "out.png"), expected)


def test_what_is_left_out_ends_in_exit_code_2(exported, tmp_path):
    save(tmp_path / "in" / "a.png", noise(16, 18))
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    save(tmp_path / "in" / "c.png", noise(16, 18, 4))
    code, out = call(exported, tmp_path / "in", tmp_path / "out")
    assert code == 2 and "1 written, 2 left out" in out and "b.png: not an image" in out
    assert out.endswith("in: 2 image(s) left out, as told above; mend them, or take them away\n")
    code, out = call(exported, tmp_path / "in", tmp_path / "out", "--background", "10,20,30")
    assert code == 2 and "1 written, 1 there already" in out
    code, out = call(exported, tmp_path / "in" / "c.png", tmp_path / "o", "--background", "reddish")
    assert code == 2 and "--background reddish: no colour; give white, black or RED" in out
    (tmp_path / "in" / "b.png").unlink()
    assert call(exported, tmp_path / "in", tmp_path / "out")[0] == 0
