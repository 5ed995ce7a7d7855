"""The names that `list` and the helps show are those of the registries."""

from gancompress.cli.listing import kinds
from gancompress.data import DATASETS
from gancompress.distill.draws import ARCH_DRAWS
from gancompress.distill.losses import DISTILL_LOSSES
from gancompress.export.formats import FORMATS, missing
from gancompress.fields.names import FORMAT_PACKAGES
from gancompress.importers import LAYOUTS
from gancompress.metrics import METRICS
from gancompress.metrics.features import FEATURES
from gancompress.nets.families import FAMILIES
from gancompress.nets.layers.blocks import OPERATORS
from gancompress.search.samplers import SAMPLERS
from gancompress.tasks import TASKS
from gancompress.teachers.published import PUBLISHED


def test_every_kind_that_has_a_registry_lists_its_names() -> None:
    presets = {name for made in FAMILIES.values() for name in made.presets}
    registries = {
        "families": FAMILIES,
        "space presets": presets,
        "tasks": TASKS,
        "data sets": DATASETS,
        "operators": OPERATORS,
        "distillation losses": DISTILL_LOSSES,
        "archs a step trains": ARCH_DRAWS,
        "feature networks": FEATURES,
        "search algorithms": SAMPLERS,
        "teachers from": (*LAYOUTS, "own"),
        "published teachers": PUBLISHED,
    }
    listed = kinds()
    assert {kind: sorted(listed[kind]) for kind in registries} == {
        kind: sorted(names) for kind, names in registries.items()
    }
    assert listed["metrics"] == (*METRICS, "miou (metrics.segmentation)")
    assert set(listed) - set(registries) == {"discriminators", "bands", "metrics", "formats"}


def test_formats_are_listed_with_what_they_need() -> None:
    assert {name: entry.packages for name, entry in FORMATS.items()} == FORMAT_PACKAGES
    shown = [name + (" (not installed)" if missing(name) else "") for name in FORMATS]
    assert kinds()["formats"] == shown
