"""Locations of stores as people and logs may see them."""

HIDDEN = "***"


def without_secrets(location: str) -> str:
    """Returns the location without what a URL may carry of secrets.

    A user and password before the last "@", and everything after "?", become "***"; a
    folder stays as it is. It need not be a URL that parses: a mistyped one has its
    password all the same.
    """
    scheme, mark, rest = location.partition("://")
    if not mark:
        return location
    rest, question, _ = rest.partition("?")
    _, at, host = rest.rpartition("@")
    shown = f"{HIDDEN}@{host}" if at else rest
    return f"{scheme}://{shown}{f'?{HIDDEN}' if question else ''}"
