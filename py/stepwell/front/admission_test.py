"""The rule of admission through its face; its table of cases is the C++ test's."""

import pytest

from stepwell.base.errors import InvalidArgumentError
from stepwell.front.admission import Admission, AdmissionTerms

TERMS = AdmissionTerms(budget_us=20_000, popular_mean_us=200, popular_p95_us=200)


def _admission() -> Admission:
    admission = Admission()
    admission.set_terms(TERMS)
    return admission


def test_admits_until_even_popular_would_be_late() -> None:
    admission = _admission()
    assert admission.admits(0, 0, 100_000, False, 499, 0)
    assert not admission.admits(0, 0, 100_000, False, 500, 0)


def test_a_standing_queue_refuses_whom_it_would_cost_his_budget_unless_forced() -> None:
    admission = _admission()
    for now_us in range(0, 120_000, 1_000):
        admission.left(0, idle=False, now_us=now_us)
    assert not admission.admits(0, 0, 100_000, False, 100, 120_000)
    assert admission.admits(0, 0, 100_000, True, 100, 120_000)
    for now_us in range(121_000, 155_000, 1_000):
        admission.left(0, idle=True, now_us=now_us)
    assert admission.admits(0, 0, 100_000, False, 100, 155_000)


def test_pushback_is_what_the_queue_takes() -> None:
    admission = _admission()
    assert admission.pushback_ms(500) == 100
    admission.set_terms(TERMS._replace(pace_us=1_000))
    assert admission.pushback_ms(30) == 30


@pytest.mark.parametrize(
    "field", [name for name in AdmissionTerms._fields if name != "can_step_down"]
)
def test_a_term_out_of_range_is_refused_by_name(field: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{field} is -1") as refused:
        _admission().set_terms(AdmissionTerms(**{**TERMS._asdict(), field: -1}))
    assert refused.value.field == field


def test_an_unknown_priority_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="priority is 3"):
        _admission().admits(3, 0, 1_000, False, 0, 0)
