"""Writes to a Redis Cluster: atomic for an entity, guarded for all of them.

No transaction spans the nodes of a cluster. A guarded write takes a number at its
guard, writes one entity after another, each only where no later number has written,
and moves the guard last, only if no later number was given meanwhile. A writer that
stops in between leaves some entities ahead of the guard, never behind it: whoever goes
on from the guard must know by the entity's own state what it has seen already. See ADR
0013.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stepwell.stores.redis_connection import ClusterClient

_PIPELINED = 256

# KEYS: the guarded blob, the last number given. ARGV: what it should be: 0, or 1 and it
_BEGIN = """
local blob = redis.call('GET', KEYS[1])
if (blob and '1' .. blob or '0') ~= ARGV[1] then return 0 end
return redis.call('INCR', KEYS[2])
"""

# KEYS: the number that wrote last, blobs. ARGV: own number, blobs. Answers 0, or a
# later number.
_WRITE = """
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
if last > tonumber(ARGV[1]) then return last end
redis.call('SET', KEYS[1], ARGV[1])
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[i]) end
return 0
"""

# KEYS: as for _BEGIN, blobs. ARGV: as for _BEGIN, own number, blobs
_COMMIT = """
local blob = redis.call('GET', KEYS[1])
if (blob and '1' .. blob or '0') ~= ARGV[1] then return 0 end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
for i = 3, #KEYS do redis.call('SET', KEYS[i], ARGV[i]) end
return 1
"""

# KEYS: the last number given. ARGV: one that was seen.
_PASS_BY = """
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
if last < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 0
"""

Blobs = Mapping[bytes, bytes]


class GuardedWrite:
    """One guarded write of one writer.

    Args:
        guarded: the guard's stored key.
        expected: its blob, None where there should be none.
        ticket: stored key of the numbers, on the guarded key's node.

    Concurrency: one thread at a time.
    """

    def __init__(
        self,
        cluster: ClusterClient,
        guarded: bytes,
        expected: bytes | None,
        ticket: bytes,
    ) -> None:
        self._cluster = cluster
        self._guarded = guarded
        self._held = b"0" if expected is None else b"1" + expected
        self._ticket = ticket
        self._number = b"0"

    def begin(self) -> bool:
        """Takes a number; False when the guard's blob is another one."""
        keys = [self._guarded, self._ticket]
        number = int(self._eval(_BEGIN, keys, [self._held]))
        self._number = b"%d" % number
        return number > 0

    def write(self, entities: Sequence[tuple[bytes, Blobs]]) -> bool:
        """Writes entities, (stored key of its last number, blobs); False: too late.

        Those written before the one that a later writer has been at stay written.
        """
        for start in range(0, len(entities), _PIPELINED):
            pipeline = self._cluster.pipeline()
            for fence, blobs in entities[start : start + _PIPELINED]:
                keys, values = [fence, *blobs], [self._number, *blobs.values()]
                pipeline.execute_command("EVAL", _WRITE, len(keys), *keys, *values)
            newest = max(int(answer) for answer in pipeline.execute())
            if newest > 0:
                # After a crash the numbers may begin again below those of entities.
                self._eval(_PASS_BY, [self._ticket], [b"%d" % newest])
                return False
        return True

    def commit(self, blobs: Blobs) -> bool:
        """Writes blobs of the guard's own entity; False when another was faster."""
        keys = [self._guarded, self._ticket, *blobs]
        values = [self._held, self._number, *blobs.values()]
        return int(self._eval(_COMMIT, keys, values)) > 0

    def _eval(self, script: str, keys: list[bytes], values: list[bytes]) -> Any:
        return self._cluster.eval(script, len(keys), *keys, *values)
