"""What `./stepwell bench retrieval` is asked for; light, so that --help is quick."""

from argparse import ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path

from stepwell.index.options import Metric

PARTS = ("curves", "single", "build", "budget", "filters", "open", "churn", "large")
"""What can be measured, in the order of the report; "large" only when named."""


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """The request.

    Attributes:
        quick: a small generated set, every part in seconds; figures say nothing.
        parts: names of PARTS.
        more: also what only informs: other codes of ours, quantised peers.
        vectors: the user's items, .npy or .fvecs; None for GloVe.
        queries: the user's queries; None holds some of the vectors out.
        truth: exact neighbours of the queries, .npy or .ivecs; None computes them.
        metric: of the user's vectors.
        plots: folder for the curves as SVG; None draws none.
    """

    quick: bool = False
    parts: tuple[str, ...] = PARTS[:-1]
    more: bool = False
    vectors: Path | None = None
    queries: Path | None = None
    truth: Path | None = None
    metric: Metric = "cosine"
    plots: Path | None = None


def parsed_parts(text: str) -> tuple[str, ...]:
    """Returns the parts named in "curves,single".

    Raises:
        ArgumentTypeError: a name that is none; lists those that are.
    """
    names = tuple(text.split(","))
    for name in names:
        if name not in PARTS:
            raise ArgumentTypeError(f"{name!r} is none of {', '.join(PARTS)}")
    return names
