"""What input channels mean by a card, and a picture as those channels."""

import numpy as np
import pytest
import torch

from gancompress.data.images import to_tensor
from gancompress.data.labelchannels import label_channels, label_picture, palette
from gancompress.data.labels import labelled_batch
from gancompress.errors import ExportError
from gancompress.export.card import Card
from gancompress.export.facts import Facts
from gancompress.export.inputchannels import (
    NO_CLASS,
    InputChannels,
    check_takes_pictures,
    class_numbers,
    classes_of,
    fitting_size,
    input_channels_of,
    input_of,
    picture_of,
)

RNG = np.random.default_rng(0)


def card(channels, facts=None, options=None, *, size=(16, 24), is_static=False):
    return Card(options or {}, channels, 3, size, 4, is_static, facts=facts or Facts())


@pytest.mark.parametrize(
    ("given", "channels"),
    [
        (card(3), InputChannels(3, (), (), 0, 0)),
        (card(1), InputChannels(1, (), (), 0, 0)),
        (card(4), InputChannels(3, (), (), 1, 0)),
        (card(5, Facts(domains=("a", "b"))), InputChannels(3, (), ("a", "b"), 0, 0)),
        (
            card(5, Facts(domains=("a", "b"), labels="exclusive")),
            InputChannels(3, (), ("a", "b"), 0, 0, True),
        ),
        (card(11, Facts(style_planes="the last 8"), {"style": 8}), InputChannels(3, (), (), 0, 8)),
        (card(4, Facts(classes=("x", "y"))), InputChannels(0, ("x", "y"), (), 2, 0)),
        (
            card(6, Facts(classes=("x", "y"), style_planes="the last 3"), {"style": 3}),
            InputChannels(0, ("x", "y"), (), 1, 3),
        ),
    ],
)
def test_planes_are_those_of_the_facts(given, channels):
    assert input_channels_of(given) == channels
    own = (
        channels.image
        + len(channels.classes)
        + len(channels.domains)
        + channels.other
        + channels.style
    )
    assert own == given.in_channels


@pytest.mark.parametrize(
    ("picture", "longest", "size"),
    [((17, 50), 64, (16, 48)), ((3, 3), 64, (8, 8)), ((100, 700), 512, (72, 512))],
)
def test_free_sizes_are_rounded_down_within_the_longest_side(picture, longest, size):
    assert fitting_size(*picture, card(3), longest) == size
    assert fitting_size(*picture, card(3, is_static=True), longest) == (16, 24)


def test_picture_becomes_what_the_data_set_makes_of_it():
    picture = RNG.integers(0, 256, (8, 12, 3), np.uint8)
    channels = input_channels_of(card(3))
    x = input_of(picture, channels, (), 0)
    assert torch.equal(x, to_tensor(picture[None]))
    assert np.array_equal(picture_of(x, channels), picture)
    grey = picture.copy()
    grey[..., 1:] = grey[..., :1]
    x = input_of(grey, input_channels_of(card(1)), (), 0)
    assert torch.equal(x, to_tensor(grey[None, :, :, :1]))
    assert np.array_equal(picture_of(x, input_channels_of(card(1))), grey)


def test_domains_are_asked_for_as_in_training():
    picture = RNG.integers(0, 256, (8, 12, 3), np.uint8)
    asked = np.array([[False, True]])
    batch = labelled_batch(picture[None], picture[None], asked, asked)
    x = input_of(picture, input_channels_of(card(5, Facts(domains=("a", "b")))), ["b"], 0)
    assert torch.equal(x, batch["input"])


def test_class_colours_become_the_planes_of_their_numbers():
    classes = RNG.integers(0, 3, (8, 12))
    channels = input_channels_of(card(4, Facts(classes=("x", "y", "z"))))
    picture = palette(3)[classes]
    x = input_of(picture, channels, (), 0)
    assert torch.equal(x[:, :3], label_channels(classes[None], 3)) and not x[:, 3].any()
    shown = (label_picture(x, palette(3), False)[0].permute(1, 2, 0) + 1) * 127.5
    assert np.array_equal(picture_of(x, channels), shown.round().numpy().astype(np.uint8))
    assert np.array_equal(classes_of(np.minimum(picture, 250) + 3, palette(3)), classes)
    x[0, :3, 0, 0] = 0
    assert class_numbers(x, channels)[0, 0] == NO_CLASS and not picture_of(x, channels)[0, 0].any()
    assert np.array_equal(class_numbers(x, channels).ravel()[1:], classes.ravel()[1:])


def test_style_is_one_of_its_seed_on_every_pixel():
    channels = input_channels_of(card(5, Facts(style_planes="the last 2"), {"style": 2}))
    picture = np.zeros((8, 8, 3), np.uint8)
    one, same, other = (input_of(picture, channels, (), seed)[:, 3:] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(one, one[:, :, :1, :1].expand_as(one))
    wide = InputChannels(0, (), (), 0, 4000)
    drawn = input_of(picture[:1, :1], wide, (), 0)
    assert abs(float(drawn.mean())) < 0.06 and abs(float(drawn.std()) - 1) < 0.05


def test_a_random_vector_is_a_style_alone_and_takes_no_pictures():
    of_vectors = card(512, Facts(latent=512), {"size": 64})
    assert input_channels_of(of_vectors) == InputChannels(0, (), (), 0, 512)
    with pytest.raises(ExportError, match="m.onnx: takes random vectors, no images; `gancompress"):
        check_takes_pictures(of_vectors, "m.onnx")
    check_takes_pictures(card(3, {}, {}), "m.onnx")
