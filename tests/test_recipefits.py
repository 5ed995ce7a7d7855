"""Parts of a recipe that do not go together."""

import pytest

from gancompress.errors import RecipeError
from gancompress.recipe.reading import load_recipe


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            ["data.size=48", "task.growth=[]"],
            r"data.size=48: found \[48, 48\]; sides of 4 \* 2\^k from 8 on",
        ),
        (["task.growth=[1, 2]"], r"task.growth=\[1, 2\]: found \[1.0, 2.0\]; 5 numbers above 0"),
        (["task.growth=[1, 1, 0, 1, 1]"], r"5 numbers above 0 are allowed, one for each size"),
        (
            ["task.discriminator=plain"],
            "found plain; family progan grows beside a discriminator of its",
        ),
        (
            ["task={name: pix2pix}"],
            "found progan, which makes images of random numbers; task pix2pix gives images",
        ),
        (["search.objective=l1"], "search.objective=l1: found l1; data maps has no true answers"),
        (["family={name: resnet}"], "found resnet; task unconditional takes progan or lsgan"),
    ],
)
def test_what_growing_cannot_do_is_refused(changes: list[str], problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        load_recipe("progan-maps", changes)


def test_batch_norm_under_a_gradient_penalty_is_refused() -> None:
    digits = "lsgan-digits", ["task.gan=wgan-gp", "task.discriminator=separable-inception"]
    with pytest.raises(RecipeError, match="which ties the images of a batch; lambda_gp penalises"):
        load_recipe(*digits)
    load_recipe(digits[0], [*digits[1], "task.discriminator_norm=none"])
