"""The record that a user was in an arm; analysis counts nobody else."""

from typing import NamedTuple


class Exposure(NamedTuple):
    """The user of one answer was in one arm of one experiment.

    Attributes:
        bucket: in the experiment's layer; kept, so that the assignment can be checked.
    """

    experiment: str
    arm: str
    bucket: int
