"""Every family with every operator: one set of weights, many equal networks."""

import itertools

import pytest

import conformance
from gancompress.nets import FAMILIES
from gancompress.nets.blocks import OPERATORS

CASES = conformance.cases()
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
FLAGS = list(itertools.product((False, True), repeat=4))


def test_cases_cover_every_family_and_operator() -> None:
    assert len(FAMILIES) == 1 and len(OPERATORS) == 2  # a new one belongs into this count
    assert len(CASES) == len(FAMILIES) * (len(OPERATORS) + 1)
    for case in CASES:
        if not case.name.endswith("mixed"):
            ops = {v for _, values in case.space.choices for v in values if isinstance(v, str)}
            assert ops == {case.name.split("-")[1]}


@every_case
@pytest.mark.parametrize(
    ("training", "bf16", "channels_last", "grad"),
    FLAGS,
    ids=["-".join(str(int(flag)) for flag in flags) for flags in FLAGS],
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
    conformance.check_bank_holds_the_largest_shapes(case)


@every_case
def test_supernet_skeletons_hold_no_memory(case: conformance.Case) -> None:
    conformance.check_skeletons_hold_no_memory(case)


@every_case
def test_permuting_a_slot_leaves_the_function_unchanged(case: conformance.Case) -> None:
    conformance.check_permuted_slots_compute_the_same(case)


@pytest.mark.parametrize("case", conformance.cases(blocks=2), ids=lambda case: case.name)
def test_cost_model_equals_measurement(case: conformance.Case) -> None:
    conformance.check_cost_model_equals_measurement(case)
