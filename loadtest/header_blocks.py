"""HPACK (RFC 7541) as far as a gRPC caller without a decoding table needs it.

We announce a table of size 0, so that every block of the server explains itself and can
be read after the run. Our own blocks put what all calls share into the server's table.
"""

from collections.abc import Sequence
from functools import cache

TIMEOUT_DIGITS = 8
_MAX_TIMEOUT_US = 10**TIMEOUT_DIGITS - 1
_POST_HTTP = b"\x83\x86"  # static entries 3 and 6
_GRPC = "application/grpc"

# Static entries 8 to 14.
_STATUSES = ("200", "204", "206", "304", "400", "404", "500")
_NUM_STATIC = 61

# Code lengths of RFC 7541, appendix B. The code is canonical: codes grow with length,
# then with the symbol. Printable ASCII is all that a gRPC header may hold.
_SYMBOLS_BY_LENGTH = {
    5: "012aceiost",
    6: " %-./3456789=A_bdfghlmnpru",
    7: ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: "&*,;XZ",
    10: '!"()?',
    11: "'+|",
    12: "#>",
    13: "\0$@[]~",
    14: "^}",
    15: "<`{",
    19: "\\",
}
_LONGEST_CODE = max(_SYMBOLS_BY_LENGTH)


def timeout_field(timeout_us: int) -> bytes:
    """Returns the header `grpc-timeout`, always of the same length.

    Args:
        timeout_us: below 1 becomes 1, above 99,999,999 that.
    """
    clamped = min(max(timeout_us, 1), _MAX_TIMEOUT_US)
    return b"\x00\x0cgrpc-timeout\x09%08du" % clamped


def first_block(authority: str, path: str, user_agent: str) -> bytes:
    """Returns the block of a connection's first call; it fills the server's table."""
    names = (b"\x41", b"\x44", b"\x40" + _string("te"), b"\x5f", b"\x7a")
    return _block(names, (authority, path, "trailers", _GRPC, user_agent))


def later_block(path: str, first_path: str) -> bytes:
    """Returns the block of a later call on a connection whose first was `first_path`.

    The newest of the five entries of `first_block` has index 62.
    """
    if path == first_path:
        return _POST_HTTP + b"\xc2\xc1\xc0\xbf\xbe"
    return _POST_HTTP + b"\xc2\x04" + _string(path) + b"\xc0\xbf\xbe"


def literal_block(authority: str, path: str, user_agent: str) -> bytes:
    """Returns a block for a server that keeps no table."""
    names = (b"\x01", b"\x04", b"\x00" + _string("te"), b"\x0f\x10", b"\x0f\x2b")
    return _block(names, (authority, path, "trailers", _GRPC, user_agent))


def _block(names: Sequence[bytes], values: Sequence[str]) -> bytes:
    """Each name says with itself whether the table takes the pair in."""
    pairs = zip(names, values, strict=True)
    return _POST_HTTP + b"".join(name + _string(value) for name, value in pairs)


def decoded(block: bytes) -> dict[str, str]:
    """Returns the headers of a block that needs no dynamic table.

    Names of the static table that gRPC has no use for are left out.

    Raises:
        ValueError: the block is cut off or points into a dynamic table.
    """
    headers: dict[str, str] = {}
    position = 0
    while position < len(block):
        first = block[position]
        if first & 0x80:  # an indexed header
            index, position = _integer(block, position, 7)
            _add_static(headers, index)
        elif first & 0xE0 == 0x20:  # a change of the table's size
            _, position = _integer(block, position, 5)
        else:
            bits = 6 if first & 0x40 else 4
            index, position = _integer(block, position, bits)
            name = _static_name(index)
            if index == 0:
                name, position = _text(block, position)
            value, position = _text(block, position)
            if name:
                headers[name] = value
    return headers


def _add_static(headers: dict[str, str], index: int) -> None:
    _static_name(index)
    if 8 <= index <= 14:
        headers[":status"] = _STATUSES[index - 8]


def _static_name(index: int) -> str:
    if index > _NUM_STATIC:
        raise ValueError(f"header index {index} is not in the static table")
    return ":status" if 8 <= index <= 14 else ""


def _string(text: str) -> bytes:
    raw = text.encode("ascii")
    if len(raw) > 126:
        raise ValueError(f"header text has {len(raw)} bytes, must be <= 126: {text!r}")
    return bytes([len(raw)]) + raw


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    limit = (1 << bits) - 1
    value = block[position] & limit
    position += 1
    if value < limit:
        return value, position
    for shift in range(0, 35, 7):
        if position >= len(block):
            raise ValueError("header block is cut off in a number")
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise ValueError("header block has a number of more than 32 bits")


def _text(block: bytes, position: int) -> tuple[str, int]:
    if position >= len(block):
        raise ValueError("header block is cut off before a text")
    huffman = bool(block[position] & 0x80)
    length, position = _integer(block, position, 7)
    raw = block[position : position + length]
    if len(raw) < length:
        raise ValueError("header block is cut off in a text")
    text = huffman_decoded(raw) if huffman else raw.decode("latin-1")
    return text, position + length


def huffman_decoded(raw: bytes) -> str:
    """Returns the text of a Huffman-coded string; what is not ASCII becomes "?".

    Raises:
        ValueError: it ends in anything but less than 8 bits of padding.
    """
    codes = _codes()
    text = []
    code = length = 0
    for bit in (byte >> shift & 1 for byte in raw for shift in range(7, -1, -1)):
        code, length = code << 1 | bit, length + 1
        symbol = codes.get((length, code))
        if symbol is not None:
            text.append(symbol)
            code = length = 0
        elif length > _LONGEST_CODE:
            return "".join([*text, "?"])
    if length > 7 or code != (1 << length) - 1:
        raise ValueError("Huffman-coded text ends within a symbol")
    return "".join(text)


@cache
def _codes() -> dict[tuple[int, int], str]:
    codes = {}
    code = previous = 0
    for length, symbols in _SYMBOLS_BY_LENGTH.items():
        code <<= length - previous
        for symbol in symbols:
            codes[length, code] = symbol
            code += 1
        previous = length
    return codes
