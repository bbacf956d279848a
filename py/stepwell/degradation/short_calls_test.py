"""Who is to blame for a call that nobody answered."""

from stepwell.degradation.short_calls import ShortCalls


def test_a_call_that_had_its_time_tells_of_the_dependency() -> None:
    assert ShortCalls().unanswered(is_short=False)


def test_a_short_one_tells_nothing_unless_five_before_it_were_in_vain() -> None:
    calls = ShortCalls()
    told = [calls.unanswered(is_short=True) for _ in range(7)]
    assert told == [False] * 5 + [True] * 2


def test_an_answer_clears_the_dependency() -> None:
    calls = ShortCalls()
    for _ in range(5):
        calls.unanswered(is_short=True)
    calls.answered()
    assert not calls.unanswered(is_short=True)
