"""Are the arms as large as they should be? Where not, nothing else is to be believed.

Source: Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled
Experiments", KDD 2019.
"""

from collections.abc import Sequence

from scipy.special import chdtrc

from stepwell.base.errors import InvalidArgumentError

MISMATCH = 0.001
"""A p-value below it is a mismatch: the arms were not dealt, or logged, as said."""


def sample_ratio_p_value(num_users: Sequence[int], shares: Sequence[float]) -> float:
    """Returns the p-value of Pearson's chi-square test of users by arm.

    Args:
        num_users: by arm, each user counted once.
        shares: by arm, in any unit, each > 0.
    Returns:
        1 for a single arm or without users.
    Raises:
        InvalidArgumentError: a share is not positive.
    """
    if any(not share > 0 for share in shares):
        raise InvalidArgumentError(f"shares are {[*shares]}, must be > 0", "shares")
    total, whole = sum(num_users), sum(shares)
    if not total:
        return 1.0
    statistic = 0.0
    for number, share in zip(num_users, shares, strict=True):
        expected = total * share / whole
        statistic += (number - expected) ** 2 / expected
    return float(chdtrc(len(shares) - 1, statistic)) if len(shares) > 1 else 1.0
