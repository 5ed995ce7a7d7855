"""What a card tells of a generator, and how a card that tells something else is refused."""

from __future__ import annotations

import json

import pytest

from gancompress.data.images import Reading
from gancompress.errors import ExportError
from gancompress.export.facts import Facts, read_facts


def test_facts_are_written_in_order_without_those_that_are_not_given() -> None:
    facts = Facts(classes=("sea", "land"), background=(1, 2, 3), recipe="toy", labels="exclusive")
    plain = json.loads(json.dumps(facts.as_dict()))
    assert list(plain) == ["recipe", "labels", "background", "classes"]
    assert read_facts(plain, "a.json") == facts
    assert read_facts({**plain, "invented_later": 3}, "a.json") == facts


def test_facts_tell_how_images_were_read() -> None:
    assert read_facts({}, "x").reading == Reading()
    assert read_facts({"max_value": 1.5}, "x").reading == Reading(1.5)
    assert Facts(background=(1, 2, 3)).reading == Reading(None, (1, 2, 3))


@pytest.mark.parametrize("told", ["white", 5, [1, 2], [1, 2, 256], [1, 2, 3.5], [1, 2, None]])
def test_a_card_that_says_no_colour_is_refused(told: object) -> None:
    with pytest.raises(
        ExportError, match=r"^a.json: background: found .* in the model's card; \[red, green"
    ):
        read_facts({"background": told}, "a.json")


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (
            {"max_value": "x"},
            "max_value: found 'x' in the model's card; a number above 0 is allowed",
        ),
        ({"max_value": 0}, "max_value: found 0 in the model's card"),
        ({"classes": 3}, "classes: found 3 in the model's card; a list of names is allowed"),
        ({"latent": "many"}, "latent: found 'many' in the model's card; a whole number"),
        ({"labels": "some"}, "labels: found 'some' .*; exclusive or independent is allowed"),
        ({"recipe": 3}, "recipe: found 3 in the model's card; a text is allowed"),
        ([], r"facts: found \[\] in the model's card; an object is allowed"),
    ],
)
def test_other_facts_than_the_card_may_tell_are_refused(plain: object, message: str) -> None:
    with pytest.raises(ExportError, match=f"^a.json: {message}"):
        read_facts(plain, "a.json")
