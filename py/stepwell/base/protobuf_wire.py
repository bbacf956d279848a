"""The wire format of protobuf, where bytes are written without messages.

Source: protobuf.dev, "Encoding".
"""


def varint(number: int) -> bytes:
    """Returns a whole number from 0 on: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def delimited(key: bytes, content: bytes) -> bytes:
    """Returns a field that says its own length: a text, bytes or a message.

    Args:
        key: of the field: 8 * number + 2.
    """
    return b"".join((key, varint(len(content)), content))
