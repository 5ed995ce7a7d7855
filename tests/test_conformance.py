"""Every family with every operator and split: one set of weights, many equal networks.

In every suite each family shows each property once, in the space that has all operators and splits
to choose from. What only the slow tests (`pytest -m slow tests/test_conformance.py`) prove: the
same of spaces of one operator and one split, where no other's tensors are among the shared weights;
of groups of unequal numbers of blocks; of every combination of training, bfloat16, memory layout
and gradients, not of none and all of them; and permutations at every corner of a space, not at one
arch.
"""

import itertools
from pathlib import Path

import pytest

import conformance
from gancompress.nets.families import FAMILIES
from gancompress.nets.layers.blocks import OPERATORS

CASES = conformance.cases()
MIXED = [case for case in CASES if case.name.endswith("-mixed")]
UNDIVIDED = [case for case in CASES if case.name.endswith("-0")]
TRUNKS = {"progan": "level.2", "lsgan": "up.0"}  # a stage with all splits
FLAGS = list(itertools.product((False, True), repeat=4))
FEW = [flags for flags in FLAGS if flags[1] == flags[2] and flags[0] == flags[3]]
ENDS = [FLAGS[0], FLAGS[-1]]
every_case = pytest.mark.parametrize("case", [conformance.marked(case) for case in CASES])


def test_cases_cover_every_family_operator_and_number_of_bands() -> None:
    # A new one belongs into these counts; "own" is the example of the docs.
    plain, banded = conformance.PLAIN, conformance.BANDED
    assert len(OPERATORS) == 2
    assert banded == ["resnet", "stargan", "progan", "lsgan", "srresnet"]
    assert {*plain, *banded} == set(FAMILIES)
    assert {split.count for split in conformance.SPLITS} == {1, 2, 3}
    few, thorough = len(OPERATORS) + 1, len(OPERATORS) * 3 + 1
    counts = [thorough if name in conformance.THOROUGH else few for name in (*banded, *plain)]
    assert len(CASES) == sum(counts)
    for case in CASES:
        choices = dict(case.space.choices)
        ops = {v for s, values in choices.items() for v in values if s.endswith(".op")}
        name, op, *_ = case.name.split("-")
        assert ops == (set(OPERATORS) if op == "mixed" else {op})
        bands = {v for s, values in choices.items() for v in values if s.endswith(".bands")}
        if name in plain:
            assert not bands and not case.space.rules
            continue
        # progan's narrowest channels fit every split.
        assert bool(case.space.rules) == (op == "mixed" and name != "progan") and len(bands) <= 5
        splits = [str(split) for split in conformance.SPLITS]
        trunk = list(choices[TRUNKS.get(name, "body.0") + ".bands"])
        assert trunk == (splits if op == "mixed" else [case.name.split("-")[2]])


@pytest.mark.parametrize(
    ("case", "training", "bf16", "channels_last", "grad"),
    [
        conformance.marked(case, *flags, is_quick=flags in ENDS)
        for case in CASES
        for flags in FLAGS
        if case in UNDIVIDED or flags in FEW
    ],
)
def test_supernet_output_equals_extracted_to_the_last_bit(
    case: conformance.Case, training: bool, bf16: bool, channels_last: bool, grad: bool
) -> None:
    conformance.check_output_equals_extracted(
        case, training=training, bf16=bf16, channels_last=channels_last, grad=grad
    )


@every_case
def test_supernet_gradients_equal_extracted_in_the_window(case: conformance.Case) -> None:
    conformance.check_gradients_equal_extracted(case)


@every_case
def test_supernet_bank_is_the_largest_of_every_shape(case: conformance.Case) -> None:
    conformance.check_bank_holds_the_largest_shapes(case, count=6 if case in MIXED else 20)


@every_case
def test_supernet_skeletons_hold_no_memory(case: conformance.Case) -> None:
    conformance.check_skeletons_hold_no_memory(case)


@every_case
def test_absorbed_networks_come_back(case: conformance.Case) -> None:
    conformance.check_absorbed_networks_come_back(case)


@every_case
def test_taps_are_features_of_the_trunk(case: conformance.Case) -> None:
    conformance.check_taps_are_features_of_the_trunk(case)


@every_case
def test_exported_weights_rebuild_the_network(case: conformance.Case, tmp_path: Path) -> None:
    conformance.check_exported_weights_rebuild_the_network(case, tmp_path)


@pytest.mark.parametrize("case", [conformance.marked(case) for case in [*UNDIVIDED, *MIXED]])
def test_permuting_a_slot_leaves_the_function_unchanged(case: conformance.Case) -> None:
    archs = case.space.corners() if case in UNDIVIDED else case.archs(3)[-1:]
    conformance.check_permuted_slots_compute_the_same(case, list(map(conformance.undivided, archs)))


@pytest.mark.parametrize("case", [conformance.marked(case) for case in conformance.cases(2)])
def test_cost_model_equals_measurement(case: conformance.Case) -> None:
    conformance.check_cost_model_equals_measurement(case, count=4 if case in MIXED else 6)
