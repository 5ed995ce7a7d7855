from __future__ import annotations

import numpy as np
import pytest

from gancompress.data.labels import Partners, fixed_partners


def test_training_draws_every_image_of_another_label_about_equally_often() -> None:
    labels = np.eye(3, dtype=bool).repeat([1, 2, 7], axis=0)
    rng = np.random.default_rng(0)
    partners = Partners(labels)
    for row in range(10):
        drawn = np.bincount(partners.drawn(np.full(4000, row), rng), minlength=10)
        others = (labels != labels[row]).any(axis=1)
        assert (drawn[~others] == 0).all()
        assert drawn[others] == pytest.approx(4000 / others.sum(), rel=0.25)


@pytest.mark.parametrize("counts", [(300, 300), (200, 200, 200, 200), (80,) * 8])
def test_evaluation_asks_for_every_domain_equally_often(counts: tuple[int, ...]) -> None:
    labels = np.eye(len(counts), dtype=bool).repeat(counts, axis=0)
    partners = fixed_partners(labels)
    assert (labels[partners] != labels).any(axis=1).all()
    asked = labels[partners].sum(axis=0)
    assert asked == pytest.approx(np.array(counts), rel=0.2)
    assert np.bincount(partners).max() <= 4
    for step in (2, 4, 8):  # an even spread over part of them, as metrics take it
        some = labels[partners[::step]].sum(axis=0)
        assert some == pytest.approx(asked / step, rel=0.8)


def test_evaluation_switches_every_attribute_both_ways() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((1000, 5)) < [0.02, 0.2, 0.5, 0.8, 0.9]
    partners = fixed_partners(labels)
    changed = labels[partners] != labels
    assert changed.any(axis=1).all()
    for domain in range(5):
        assert changed[labels[:, domain], domain].sum() >= 0.1 * labels[:, domain].sum()
        assert changed[:, domain].sum() >= 200  # a fifth of the images is meant for each
