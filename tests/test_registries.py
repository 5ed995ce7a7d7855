"""Names that a recipe may hold and that stand in its options are those of the registries."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import BaseModel

from gancompress.distill.draws import ARCH_DRAWS
from gancompress.distill.options import SupernetSection
from gancompress.metrics import METRICS
from gancompress.search.options import SearchSection
from gancompress.search.samplers import SAMPLERS


def allowed(section: type[BaseModel], key: str) -> set[str]:
    return set(get_args(section.model_fields[key].annotation))


@pytest.mark.parametrize(
    ("section", "key", "registry"),
    [(SearchSection, "algorithm", SAMPLERS), (SupernetSection, "archs", ARCH_DRAWS)],
)
def test_names_in_options_are_the_registry_s(
    section: type[BaseModel], key: str, registry: dict[str, object]
) -> None:
    assert allowed(section, key) == set(registry)


def test_a_search_ranks_by_metrics_that_exist() -> None:
    assert allowed(SearchSection, "objective") <= set(METRICS)
