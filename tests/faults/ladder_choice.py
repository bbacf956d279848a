"""Answers of the tier that the ladder chose, for tests that hold it to that."""

from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Answer, Reason

ON_PURPOSE = {Reason.EXERCISE, Reason.PROBE}
"""Of requests that were sent to another tier than the best that fits: one in 100."""


def answer_as_chosen(client: RecommendClient, user_id: str, num_items: int) -> Answer:
    """The first answer to a user that was not sent to another tier on purpose.

    A tier that is forced would be served whatever the ladder thinks of it.
    """
    while True:
        answer = client.recommend(user_id, num_items)
        if not ON_PURPOSE & set(answer.served_by.reasons):
            return answer
