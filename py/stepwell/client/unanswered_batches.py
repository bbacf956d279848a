"""The batches of a stream that have no answer yet; shared by the two clients."""

from collections import deque
from collections.abc import Callable, Iterator

import grpc

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.client.attempts import Attempts
from stepwell.client.messages import stored_of
from stepwell.client.types import Stored
from stepwell_pb.v1 import feedback_pb2

DEFAULT_MAX_UNANSWERED = 16
"""As many as a server reads ahead of its disk; it takes up more of them later."""


class UnansweredBatches:
    """What was sent and not answered, oldest first, and the sum of the answers.

    Args:
        new_attempts: bookkeeping of the calls that one answer may take.
        max_unanswered: batches at most, >= 1.

    Concurrency: one thread.
    """

    def __init__(
        self, new_attempts: Callable[[], Attempts], max_unanswered: int
    ) -> None:
        if max_unanswered < 1:
            text = f"max_unanswered is {max_unanswered}, must be >= 1"
            raise InvalidArgumentError(text, "max_unanswered")
        self._new_attempts = new_attempts
        self._max = max_unanswered
        self._batches: deque[feedback_pb2.LogEventsRequest] = deque()
        self._num_stored = self._num_duplicates = 0
        self._attempts: Attempts | None = None

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[feedback_pb2.LogEventsRequest]:
        return iter(self._batches)

    @property
    def is_full(self) -> bool:
        """Whether an answer must come before the next batch goes."""
        return len(self) >= self._max

    @property
    def stored(self) -> Stored:
        """What became of all batches that were answered."""
        return Stored(self._num_stored, self._num_duplicates)

    def add(self, batch: feedback_pb2.LogEventsRequest) -> None:
        """Takes note of a batch that goes now."""
        self._batches.append(batch)

    def answered(self, response: feedback_pb2.LogEventsResponse) -> None:
        """Takes note of the answer to the oldest batch."""
        self._batches.popleft()
        self._attempts = None
        stored = stored_of(response)
        self._num_stored += stored.num_stored
        self._num_duplicates += stored.num_duplicates

    def begin_attempt(self) -> None:
        """Counts a call; those since the last answer are attempts of one."""
        if self._attempts is None:
            self._attempts = self._new_attempts()
        self._attempts.begin()

    def pause_after(self, error: grpc.RpcError) -> float:
        """Returns the seconds to wait before the next call, which sends all anew.

        Raises:
            StepwellError: there is none. A batch that was refused is given up; the
                others are sent by the next call there is.
        """
        if self._attempts is None:  # the call has had answers: it is the first again
            self.begin_attempt()
        attempts, self._attempts = self._attempts, None
        assert attempts is not None
        try:
            pause_s = attempts.pause_after(error)
        except InvalidArgumentError:
            # Answers come in order: it is about the oldest.
            self._batches.popleft()
            raise
        self._attempts = attempts
        return pause_s


def ended_early() -> UnavailableError:
    """Returns what it means that a server ends a stream and owes answers."""
    return UnavailableError("the server ended the stream before its last answer")
