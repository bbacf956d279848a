"""Tests that run a second time, with every line of C++ below them sanitised."""

_FLAGS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "thread": ["-fsanitize=thread"],
}

def _sanitize(settings, attr):
    flags = _FLAGS[attr.sanitizer]
    return {
        "//command_line_option:copt": settings["//command_line_option:copt"] +
                                      ["-O1", "-g1", "-fno-omit-frame-pointer"] + flags,
        "//command_line_option:linkopt": settings["//command_line_option:linkopt"] + flags,
    }

_sanitized = transition(
    implementation = _sanitize,
    inputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
    outputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
)

def _impl(ctx):
    # What a transition leads to is a list, also where it leads to one thing.
    test = ctx.attr.test[0]
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        output = program,
        is_executable = True,
        content = "#!/bin/bash\nexec {} {} \"$@\"\n".format(
            ctx.executable._runner.short_path,
            test[DefaultInfo].files_to_run.executable.short_path,
        ),
    )
    runfiles = ctx.runfiles(files = [ctx.executable._runner])
    runfiles = runfiles.merge(test[DefaultInfo].default_runfiles)
    return [DefaultInfo(executable = program, runfiles = runfiles)]

_sanitized_test = rule(
    implementation = _impl,
    test = True,
    attrs = {
        "test": attr.label(mandatory = True, cfg = _sanitized),
        "sanitizer": attr.string(mandatory = True, values = _FLAGS.keys()),
        "_runner": attr.label(
            default = "//tools/bazel:sanitizer_runner.sh",
            allow_single_file = True,
            executable = True,
            cfg = "host",
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)

def stepwell_sanitized_test(name, test, sanitizer, size = "medium", **kwargs):
    """Runs a test of this package again as a program made for a sanitiser.

    Every library of this tree below the test is compiled again with it; the system's
    libraries (absl, gtest) are not. Of absl only inline and lock-free parts may lie
    between two threads of a "thread" test: absl::Mutex would be unknown to it.

    Args:
      name: ends in _test.
      test: the cc_test.
      sanitizer: "thread" (data races), or "address" (with undefined behaviour).
      size: how long it may take, about ten times as long as the test alone.
      **kwargs: of every test.
    """
    _sanitized_test(
        name = name,
        test = test,
        sanitizer = sanitizer,
        size = size,
        **kwargs
    )
