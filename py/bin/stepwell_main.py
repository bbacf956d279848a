"""The program behind ./stepwell: picks the command and runs it.

A command is a module `commands.<name>` with `add_arguments(parser)` and
`run(args) -> int`; only the chosen one is imported, so a light command starts in a
fraction of a second although a heavy one needs torch.
"""

import argparse
import importlib
import keyword
import sys

from absl import app
from absl.flags import argparse_flags

from command_table import COMMANDS, VERSION, help_text


def parse(argv: list[str]) -> argparse.Namespace:
    """Returns the arguments of the chosen command; exits with 2 on a wrong one."""
    parser = argparse_flags.ArgumentParser(
        prog="./stepwell", usage="./stepwell COMMAND [arguments]", add_help=False
    )
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="version", version=f"stepwell {VERSION}")
    chosen = argv[1] if len(argv) > 1 else "--help"
    subparsers = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        prog="./stepwell",
        parser_class=argparse.ArgumentParser,
    )
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            description=command.summary,
            epilog=f"example: ./stepwell {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if command.name == chosen:
            module = importlib.import_module(f"commands.{_module_of(command.name)}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser.parse_args(argv[1:])


def _module_of(name: str) -> str:
    """A word of Python's, such as "import", is no module's name without a "_"."""
    return f"{name}_" if keyword.iskeyword(name) else name


def is_deliberate(error: Exception) -> bool:
    """True for an error whose text is meant for a person.

    The tree of errors is looked up and not imported: a command that runs from the
    sources, before anything is built, has no `stepwell` on its path.
    """
    errors = sys.modules.get("stepwell.base.errors")
    return errors is not None and isinstance(error, errors.StepwellError)


def _log_to_standard_error() -> None:
    """Standard output is the command's own: what a machine reads stays free of logs.

    Looked up and not imported, as the tree of errors is.
    """
    structlog = sys.modules.get("structlog")
    if structlog is not None:
        factory = structlog.PrintLoggerFactory(sys.stderr)
        structlog.configure(logger_factory=factory)


def main(args: argparse.Namespace) -> int:
    """Runs the chosen command; returns its exit status."""
    if args.command is None:
        print(help_text())
        return 0
    _log_to_standard_error()
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not is_deliberate(error):
            raise
        print(f"stepwell {args.command}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    app.run(main, flags_parser=parse, argv=sys.argv)
