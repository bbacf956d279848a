"""Header blocks against the examples of RFC 7541."""

import pytest

from header_blocks import (
    decoded,
    first_block,
    huffman_decoded,
    later_block,
    literal_block,
    timeout_field,
)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
        ("a8eb10649cbf", "no-cache"),
        ("25a849e95ba97d7f", "custom-key"),
        ("25a849e95bb8e8b4bf", "custom-value"),
        ("6402", "302"),
        ("aec3771a4b", "private"),
        (
            "d07abe941054d444a8200595040b8166e082a62d1bff",
            "Mon, 21 Oct 2013 20:13:21 GMT",
        ),
        (
            "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4e"
            "e5b1063d5007",
            "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ),
    ],
)
def test_reads_the_huffman_texts_of_the_standard(raw: str, text: str) -> None:
    assert huffman_decoded(bytes.fromhex(raw)) == text


def test_text_that_ends_within_a_symbol_is_refused() -> None:
    with pytest.raises(ValueError, match="within a symbol"):
        huffman_decoded(b"\x00")  # "0", then three bits that are no padding


def test_reads_literals_indexed_statuses_and_size_updates() -> None:
    block = (
        b"\x20\x88"  # table size 0; :status 200
        b"\x00\x0bgrpc-status\x018"
        b"\x10\x16grpc-retry-pushback-ms\x0225"
        b"\x0f\x10\x10application/grpc"  # content-type by its static name
    )
    assert decoded(block) == {
        ":status": "200",
        "grpc-status": "8",
        "grpc-retry-pushback-ms": "25",
    }


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"\xbe", "index 62"),
        (b"\x00\x0bgrpc", "cut off in a text"),
        (b"\x00", "before a text"),
        (b"\xff", "in a number"),
        (b"\xff\xff\xff\xff\xff\xff", "more than 32 bits"),
    ],
)
def test_a_block_that_cannot_be_read_is_an_error(block: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decoded(block)


def test_later_blocks_are_short() -> None:
    first = first_block("127.0.0.1:1", "/a.B/C", "load")
    assert b"/a.B/C" in first
    assert len(later_block("/a.B/C", "/a.B/C")) == 7
    assert b"/a.B/D" in later_block("/a.B/D", "/a.B/C")
    assert decoded(literal_block("h:1", "/a.B/C", "load"))["te"] == "trailers"


def test_timeouts_have_one_length_whatever_they_are() -> None:
    lengths = {len(timeout_field(us)) for us in (-5, 0, 1, 20_000, 99_000_000, 10**9)}
    assert len(lengths) == 1
    assert timeout_field(20_000).endswith(b"\x0900020000u")
