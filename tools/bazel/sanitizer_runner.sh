#!/bin/bash
# sanitizer_runner.sh PROGRAM [ARGUMENT...]
# Runs a program made for a sanitiser: the first report ends it and fails the test.
set -eu

export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 ${TSAN_OPTIONS:-}"
# Not detect_stack_use_after_return: the fake stack of GCC 12 is too little aligned for
# AVX-512 (GCC bug 110027).
export ASAN_OPTIONS="strict_string_checks=1 ${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1 ${UBSAN_OPTIONS:-}"
# Some kernels scatter memory more widely than the sanitiser's map of it allows; where a
# program may ask for an unscattered one, it does.
if setarch -R true 2>/dev/null; then
  exec setarch -R "$@"
fi
exec "$@"
