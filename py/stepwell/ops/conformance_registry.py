"""Every case of the conformance suite; a test refuses an op without one. Test-only."""

from stepwell.ops import (
    conformance_embedding,
    conformance_interaction,
    conformance_mlp,
    conformance_ranker,
    conformance_topk,
)

CASES = [
    *conformance_embedding.CASES,
    *conformance_interaction.CASES,
    *conformance_mlp.CASES,
    *conformance_ranker.CASES,
    *conformance_topk.CASES,
]
