"""What the importer refused and why, with file and row."""

from collections import Counter
from dataclasses import dataclass, field

MAX_EXAMPLES = 20
"""Refused rows listed for each reason; all of them are counted."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One refused row: its 1-based data row, header not counted, and the value."""

    file: str
    row: int
    reason: str
    value: str


@dataclass(slots=True)
class ImportReport:
    """Counts of one import. Every row read is either accepted or in `refused`.

    Attributes:
        num_rows: rows read, by file name.
        num_accepted: rows accepted, by file name.
        refused: refused rows by (file name, reason).
        examples: the first refused rows of each file and reason.
    """

    num_rows: dict[str, int] = field(default_factory=dict)
    num_accepted: dict[str, int] = field(default_factory=dict)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[RefusedRow] = field(default_factory=list)

    @property
    def num_refused(self) -> int:
        """Refused rows of all files."""
        return self.refused.total()

    def refused_share(self, file: str) -> float:
        """Part of a file's rows that were refused, 0..1."""
        refused = sum(
            count for (name, _), count in self.refused.items() if name == file
        )
        return refused / max(self.num_rows.get(file, 0), 1)

    def lines(self) -> list[str]:
        """Returns the report as text, one line a fact, stable order."""
        lines = []
        for file, num_rows in self.num_rows.items():
            accepted = self.num_accepted.get(file, 0)
            share = self.refused_share(file)
            refused = num_rows - accepted
            lines.append(
                f"{file}: {num_rows} rows, {accepted} accepted, {refused} refused "
                f"({share:.2%})"
            )
            for (name, reason), count in sorted(self.refused.items()):
                if name == file:
                    lines.append(f"  {reason}: {count}")
                    lines.extend(
                        f"    {file} row {example.row}: {example.value}"
                        for example in self.examples
                        if (example.file, example.reason) == (file, reason)
                    )
        return lines

    def as_json(self) -> dict[str, object]:
        """Returns the report for a machine."""
        return {
            "files": {
                file: {
                    "rows": num_rows,
                    "accepted": self.num_accepted.get(file, 0),
                    "refused": {
                        reason: count
                        for (name, reason), count in sorted(self.refused.items())
                        if name == file
                    },
                }
                for file, num_rows in self.num_rows.items()
            },
            "examples": [
                {"file": e.file, "row": e.row, "reason": e.reason, "value": e.value}
                for e in self.examples
            ],
        }
