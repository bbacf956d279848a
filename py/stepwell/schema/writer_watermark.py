"""How far the writer of a stored view has come: what freshness is measured by."""

import struct
from dataclasses import dataclass

from stepwell.base.errors import DataLossError

_FORM = struct.Struct("<qq")


@dataclass(frozen=True, slots=True)
class WriterWatermark:
    """What a writer says of itself with each step, and while it has nothing to do.

    Wall time, not event time: a view is written by one process and read by others,
    whose event times need not be the same. A quiet user's old row is fresh while its
    writer lives; a dead writer makes every row stale after the view's window.

    Attributes:
        wall_us: every line that the event log took in before this time is folded in,
            unix microseconds.
        next_offset: first offset of the log that is not.
    """

    wall_us: int
    next_offset: int

    def pack(self) -> bytes:
        """Returns the stored form: two little-endian 64-bit numbers."""
        return _FORM.pack(self.wall_us, self.next_offset)

    @classmethod
    def unpack(cls, blob: bytes) -> "WriterWatermark":
        """Reads what `pack` wrote; DataLossError where it is another length."""
        if len(blob) != _FORM.size:
            raise DataLossError(
                f"a writer's watermark has {len(blob)} bytes, must be {_FORM.size}"
            )
        return cls(*_FORM.unpack(blob))

    def age_us(self, now_us: int) -> int:
        """Returns its age at wall time `now_us`; a clock set back makes it 0."""
        return max(now_us - self.wall_us, 0)
