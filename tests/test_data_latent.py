"""Random vectors in place of a data set's inputs."""

import numpy as np
import torch
from test_data_styled import Plain

from gancompress.data.latent import Latent, latents

LATENT = Latent(Plain(), 512)


def test_targets_are_the_data_sets_own_and_inputs_vectors() -> None:
    ours, theirs = LATENT.batch("test", [4, 2], None), Plain().batch("test", [4, 2], None)
    assert list(ours) == ["input", "target"] and torch.equal(ours["target"], theirs["target"])
    assert ours["input"].shape == (2, 512, 1, 1) and ours["input"].dtype == torch.float32
    assert LATENT.channels == (512, 3) and not LATENT.paired and LATENT.count("test") == 1000
    assert LATENT.shown(ours["input"]) is None


def test_vectors_of_evaluation_belong_to_the_image() -> None:
    one = LATENT.batch("test", [7, 3], None)["input"]
    other = LATENT.batch("test", [3, 9, 7], None)["input"]
    assert torch.equal(one, other[[2, 0]])
    assert not torch.equal(one, LATENT.batch("search", [7, 3], None)["input"])


def test_vectors_of_training_are_new_in_every_batch_and_follow_the_generator() -> None:
    def drawn(seed: int) -> torch.Tensor:
        return LATENT.batch("train", [7, 7], np.random.default_rng(seed))["input"]

    assert torch.equal(drawn(0), drawn(0)) and not torch.equal(drawn(0), drawn(1))
    assert not torch.equal(drawn(0)[0], drawn(0)[1])


def test_vectors_are_standard_normal() -> None:
    vectors = latents(512, [[5, i] for i in range(100)])
    assert vectors.shape == (100, 512)
    assert abs(float(vectors.mean())) < 0.02 and abs(float(vectors.std()) - 1) < 0.02
    apart = torch.corrcoef(vectors) - torch.eye(100)
    assert float(apart.abs().max()) < 0.25  # no two alike


def test_content_hash_knows_the_size_of_vectors() -> None:
    assert LATENT.content_hash("test") == Latent(Plain(), 512).content_hash("test")
    assert LATENT.content_hash("test") != Latent(Plain(), 256).content_hash("test")
    assert LATENT.content_hash("test") != LATENT.content_hash("search")
