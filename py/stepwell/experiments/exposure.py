"""The record that a user was exposed to an arm; analysis counts nobody else."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from stepwell.base.errors import DataLossError
from stepwell.experiments.assignment import Experiment, assigned_arm, bucket_of


@dataclass(frozen=True, slots=True)
class Exposure:
    """One user saw one arm of one experiment in one answer.

    Attributes:
        bucket: kept, so that an analysis can check the assignment.
        event_time_seconds: unix seconds of the answer.
    """

    experiment: str
    arm: str
    bucket: int
    user_id: str
    request_id: str
    event_time_seconds: int

    def to_json(self) -> bytes:
        """Returns one line of JSON, for a log."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, line: bytes) -> "Exposure":
        """Reads what `to_json` wrote; DataLossError when it is something else."""
        try:
            return cls(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise DataLossError(f"no exposure: {error}") from error


def exposures(
    experiments: Iterable[Experiment],
    user_id: str,
    request_id: str,
    event_time_seconds: int,
) -> list[Exposure]:
    """Returns the exposures of one answer, in the order of the experiments."""
    found = []
    for experiment in experiments:
        arm = assigned_arm(experiment, user_id)
        if arm is not None:
            bucket = bucket_of(experiment, user_id)
            found.append(
                Exposure(
                    experiment.name,
                    arm.name,
                    bucket,
                    user_id,
                    request_id,
                    event_time_seconds,
                )
            )
    return found
