"""Sizes and columns of the release that benchmark `serving` generates."""

from dataclasses import dataclass

from stepwell.features.catalogue import FeatureCatalogue

SEED = 20_171_126
USER_DENSE = ("user_trips", "user_items", "user_basket", "user_idle_days")
ITEM_DENSE = (
    "item_events",
    "item_buyers",
    "item_buyers_7d",
    "item_buyers_28d",
    "item_buyers_84d",
    "item_decayed_21d",
    "item_repeat_share",
    "item_interval_days",
    "item_price",
)
"""Thirteen dense columns, as many as DLRM's own data sets have."""

_NUMBER_OF = {
    "item_events": "num_events",
    "item_buyers": "num_buyers",
    "item_interval_days": "mean_interval_days",
}


@dataclass(frozen=True, slots=True)
class ReleaseSpec:
    """Sizes of the work.

    Attributes:
        num_items, dim: N vectors of D.
        num_tables, num_rows: T tables of so many rows, D wide; the last one is of the
            user's segment, the others of an item category each.
        bottom_widths, top_widths: of the DLRM's MLPs.
        num_users: with a history.
    """

    num_items: int = 100_000
    dim: int = 64
    num_tables: int = 26
    num_rows: int = 100_000
    bottom_widths: tuple[int, ...] = (512, 256, 64)
    top_widths: tuple[int, ...] = (512, 256)
    num_users: int = 5_000

    @property
    def category_names(self) -> tuple[str, ...]:
        """Names of the item categories."""
        return tuple(f"category_{n:02d}" for n in range(self.num_tables - 1))


QUICK = ReleaseSpec(num_items=10_000, num_rows=10_000, num_users=500)


def catalogue(spec: ReleaseSpec) -> FeatureCatalogue:
    """Returns the features of the release; no affinities."""
    return FeatureCatalogue((), spec.category_names)


def number_of(feature: str) -> str:
    """Returns the tensor of item_columns.safetensors that holds one of ITEM_DENSE."""
    return f"number/{_NUMBER_OF.get(feature, feature.removeprefix('item_'))}"
