"""Writes the good files of the row-file fuzzer's corpus.

    bazel run //tests/fuzz:row_file_corpus_main -- $PWD/tests/fuzz/row_file_corpus

Run it after a change of the file format. What the fuzzer found is not made by this
program; it stays in the folder as it is.
"""

import argparse
from pathlib import Path

import torch

from stepwell.ops.quantize_rows import ROW_FORMATS, row_bytes
from stepwell.ops.row_file import RowFileWriter, TableSpec

# Small blocks: the fuzzer is fast on short inputs only.
BLOCK_BYTES = 64
ALIGNMENT = 64
FILES = {
    "good_one_table": [TableSpec("a", 4, 3, "float32", 1)],
    "good_empty_table": [TableSpec("a", 0, 1, "int8")],
    "good_every_format": [
        TableSpec(name, 3 + number, 2 * number + 1, name, number - 1)
        for number, name in enumerate(ROW_FORMATS)
    ],
    "good_gaps": [
        TableSpec("users", 1, 1, "float16"),
        TableSpec("none", 0, 7, "int4"),
        TableSpec("items", 9, 5, "int8", 8),
        TableSpec("end", 0, 2, "bfloat16"),
    ],
}


def write(path: Path, specs: list[TableSpec]) -> None:
    """Writes one file; its rows are counted bytes."""
    with RowFileWriter(path, specs, BLOCK_BYTES, ALIGNMENT) as writer:
        for number, spec in enumerate(specs):
            width = row_bytes(spec.row_format, spec.dim)
            counted = torch.arange(spec.num_rows * width).to(torch.uint8)
            writer.append(number, counted.view(spec.num_rows, width))
        writer.commit()


def main() -> None:
    """Writes all of them into the folder named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, specs in FILES.items():
        write(folder / name, specs)


if __name__ == "__main__":
    main()
