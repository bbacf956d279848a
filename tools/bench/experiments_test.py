from bench.experiments import cost_rows, layers_of
from stepwell.experiments.assigner import Assigner
from stepwell.pipeline.overrides import PlanOverrides


def test_everybody_is_in_each_of_the_experiments_that_are_timed() -> None:
    assigner = Assigner(layers_of(4), PlanOverrides.of)
    arms = [assigner.assign(str(number)).exposures for number in range(50)]
    assert {len(exposures) for exposures in arms} == {4}
    assert {one.arm for exposures in arms for one in exposures} == {
        "control",
        "treated",
    }


def test_two_experiments_have_a_bar() -> None:
    assert [row.bar for row in cost_rows()] == ["", "<= 3 us", ""]
