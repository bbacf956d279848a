#!/bin/bash
# fuzz_runner.sh PROGRAM SECONDS MAX_INPUT_BYTES CORPUS_FILE...
# Runs a libFuzzer program over a copy of its corpus: what it learns stays in the test's
# own folder, so a run changes nothing and any number of them may go on at once.
set -eu

program="$1" seconds="$2" max_input_bytes="$3"
shift 3
corpus="$TEST_TMPDIR/corpus"
mkdir "$corpus"
cp -L "$@" "$corpus"
found="${TEST_UNDECLARED_OUTPUTS_DIR:-$TEST_TMPDIR}"
exec "$program" \
  -max_total_time="$seconds" \
  -max_len="$max_input_bytes" \
  -timeout=10 \
  -rss_limit_mb=1024 \
  -artifact_prefix="$found/" \
  -print_final_stats=1 \
  "$corpus"
