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
    secret, at, host = rest.rpartition("@")
    if "?" in secret:
        # Is the "?" part of a password, or the "@"? Nobody can tell.
        return f"{scheme}://{HIDDEN}"
    host, question, _ = host.partition("?")
    user = f"{HIDDEN}@" if at else ""
    return f"{scheme}://{user}{host}{f'?{HIDDEN}' if question else ''}"
