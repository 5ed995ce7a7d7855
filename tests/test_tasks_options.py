"""Tasks' options: each field stands once, and recipes read them without torch."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from gancompress.recipe import Recipe, Task
from gancompress.tasks import TASKS
from gancompress.tasks.base import ConditionalTask
from gancompress.tasks.taskoptions import TaskContext, TaskOptions

CONTEXT = TaskContext(5, 3, (64, 64), labels="exclusive", style=2)


@pytest.mark.parametrize("name", TASKS)
def test_options_make_their_own_task_which_takes_none_of_their_fields(name: str) -> None:
    options = TASKS[name]()
    task = options.task(CONTEXT)
    assert isinstance(task, ConditionalTask) and type(task) is not ConditionalTask
    assert task.options is options and task.context is CONTEXT
    taken = inspect.signature(type(task)).parameters
    assert "options" in taken and not taken.keys() & type(options).model_fields.keys()


def test_each_name_is_that_of_its_own_options_and_recipes_take_all() -> None:
    assert {name: made().name for name, made in TASKS.items()} == {name: name for name in TASKS}
    assert len(set(TASKS.values())) == len(TASKS) == 7
    assert get_args(get_args(Task)[0]) == tuple(TASKS.values())
    assert Recipe.model_fields["task"].discriminator == "name"


def test_options_that_make_nothing_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        TaskOptions(name="none")  # type: ignore[abstract]
