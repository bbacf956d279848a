"""A Feast repository for tests: the registry is one that Feast 0.67 itself wrote.

It has four views: driver_stats (six features, one of them a list; a mapped column; both
times), profile (ttl 0), pair (two entities) and away (its rows in a bucket).
"""

import zlib
from pathlib import Path

SETTINGS = """\
project: shop
registry: data/registry.db
provider: local
"""

_APPLIED = (
    "78daed964f6823551cc77d9934499f959d1dab485cb00cc543e1a5339397c94c3d281e3c78d45b2f"
    "e1bd993764d82619675eb2140417052d15a4c483e09f2a9bb2ac4b11bd75455014b1decab26c17bd"
    "887a58d83dec9f8b47df8c69328d832e942aac420ebf1fc36f7edfcff7fdf27e039f828fc3821bfa"
    "3d16ca7975fa8fa8e1bbcfe7a36627504ec199d2cd9b6bd70af2ad2b6f6f49caa10c3e0d9f8025a7"
    "1bf14e4b94e7d4070fe2ac17fcf4f366ea054906e3eec546c3edb65aab2a1c0699ddbf7c3755bcf1"
    "ddb92da90c74759ed2aa837195218f7a26c2841264575d0d699e67e99aede09ac7164665830f3f96"
    "8c5f72f0eb1c9c1992469cf04849da95873ea8f370dae9b47b8d90702617d447a22609d95cc7133f"
    "8f85d11c27a7595b9d86533cf48348d8568279c7e7abc28122947a7e2017e3a74d3f64ae5c52212c"
    "042bc461912c1bf9d2d9c1d4d2fba0049493301f3750c6bdca27588fb57983fb2d2674b58285a213"
    "32f1c05d9e55149770b298c8ad04247ca9cbf83ad03d46225ef1db5e482a42dd8adf6602a913b2a8"
    "e2f92b22ee744387559e13f18b49780e80a82f9d2a1f78b27bf1ce07927a90ed9d7f6f203d035e80"
    "0296b4e79aa2843e04c75321e7fba0b02214453c75381fddfe6c303e9c24337e03701fc07c40fcf0"
    "b0bbe5d1c0c41e458ed02a4f190f2cbd52027fe25f7e58399960d30e6f1e919aa6a9772e6f6e8ea9"
    "d7dedc8ea92748e909989e67399785bef6c67e0a3dc98c1f01fc5ca093336475887e1839606d3741"
    "5e15c839c297cbca635175697191769dd38c2fc68547842569d80b9f5e4ac1eefe3a4860ef85eefa"
    "c6dd145d92193f007809c0621076e2ee7f0dd81d023eaacc26c7382c3a225c90865bdbd94ec15dff"
    "f6ad7b86fbea9dd752574a92d1978f47f04590d8f437bae9e0dfbd16325466dc0ef42c38beb1cd90"
    "9031bdf47570dc974586908c3b631d3c090b7072575db87a75733c5849d6073720fc42cada3aea8c"
    "10c8bb216bf47c7666e1ffedf44f6ca7d117c1377b03e9d9790733665aac8e2c6c51840ddb44c424"
    "75e41a3a7319d530a953f87d2ebdce268eed3fbcee464dcedf8ebdb4eb8411e198308fb8083b6e4d"
    "78699ac8a8d9ba56b5f59aa111b89d4befc7092fefeffd79905debbfba25ec6298e2bae561647b18"
    "236cea55440c4f474cd71c5ab76a96693af093dcc4c29d70ec7edec923c3f676fab161ae4d1866d8"
    "40b4ee55c57fd5c1c8a2d442c4d6885eb33403ebf47725557863"
)


def applied_registry() -> bytes:
    """Returns the file as `feast apply` left it."""
    return zlib.decompress(bytes.fromhex(_APPLIED))


def write_repository(
    folder: Path, registry: bytes | None = None, settings: str = SETTINGS
) -> Path:
    """Writes feature_store.yaml and the registry; returns the folder."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(settings)
    held = applied_registry() if registry is None else registry
    (folder / "data" / "registry.db").write_bytes(held)
    return folder
