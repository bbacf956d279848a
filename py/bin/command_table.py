"""The commands of ./stepwell in one table; standard library only.

The launcher prints the help from here before anything is installed, so that a first
look costs nothing.
"""

import sys
from dataclasses import dataclass

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Command:
    """One line of the help; the module is commands.<name>, or <name>_."""

    name: str
    summary: str
    example: str


COMMANDS = (
    Command("demo", "the whole road, from data to answers", "demo --exit"),
    Command("setup", "install what is missing, build everything", "setup"),
    Command("doctor", "look at this machine, say how to mend it", "doctor --json"),
    Command("import", "check data, take over Feast's rows", "import --data DIR"),
    Command("train", "train a release from events", "train --data DIR --out DIR"),
    Command("evaluate", "score every tier on held-out time", "evaluate --split test"),
    Command("publish", "sign a release and hand it to the servers", "publish RELEASE"),
    Command("update", "new items in a release, no training", "update new_items.csv"),
    Command("releases", "what is published, and what it is for", "releases"),
    Command("canary", "a release on trial", "canary v000004 --percent 5"),
    Command("promote", "make a release live, the canary first", "promote"),
    Command("rollback", "back to the release before", "rollback"),
    Command("pin", "one release, whatever is published", "pin v000002"),
    Command("verify", "is a release whole and fit to serve?", "verify --all --deep"),
    Command("export", "a release as one file", "export v000004 v000004.tar"),
    Command("serve", "serve the published release over gRPC", "serve --port 8500"),
    Command(
        "recommend", "ask a server, explain the answer", "recommend --user 1 -k 10"
    ),
    Command("ladder", "show and set the ladder of a server", "ladder show"),
    Command("load", "put load on a server, draw what came", "load --rate 3x"),
    Command("simulate", "the ladder in simulated time", "simulate --plot plots"),
    Command("features", "what is stored, how fresh it must be", "features list"),
    Command("rows", "training rows, as things were known", "rows --from LOG --out DIR"),
    Command("replay", "answers computed again, to the bit", "replay --all"),
    Command("index", "build and check an index of vectors", "index build V.npy -o I"),
    Command(
        "experiment", "arms for users, and what they found", "experiment report NAME"
    ),
    Command("bench", "measure beside peers, check the bars", "bench retrieval --check"),
    Command("test", "build and test everything", "test //py/stepwell/base/..."),
    Command("lint", "formats, types, spelling", "lint --fix"),
)


def help_text() -> str:
    """Returns what `./stepwell --help` prints."""
    lines = [
        "Stepwell: real-time recommendations that step down before they fail.",
        "",
        "usage: ./stepwell COMMAND [arguments]    ./stepwell COMMAND --help",
        "",
    ]
    lines += [
        f"  {c.name:<10} {c.summary:<44} ./stepwell {c.example}" for c in COMMANDS
    ]
    lines += [
        "",
        "New here? On Debian 12 with Python 3.11 this does it all in some 12 minutes:",
        "  ./stepwell demo",
        "Then, in a second terminal:",
        "  ./stepwell recommend --user 1 -k 10 --explain",
        "",
        "Commands that a machine reads take --json. Nothing is installed twice; what",
        "is made lies in .venv, .cache and .stepwell, all safe to delete.",
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Prints the help, or the version."""
    print(f"stepwell {VERSION}" if "--version" in argv else help_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
