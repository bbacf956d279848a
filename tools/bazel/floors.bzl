"""Who may see what: the floors of the house as Bazel visibility.

The same table as tools/lint/layers.toml; a test in tests/architecture holds the two
together, and another reads the imports themselves.
"""

# Room -> floor. A package sees lower floors and its own room.
FLOORS = {
    "proto": 0,
    "cc/base": 10,
    "py/stepwell/base": 10,
    "py/stepwell/client": 15,
    "cc/lmdb": 15,
    "cc/event_log": 20,
    "cc/feature_rows": 20,
    "cc/front": 20,
    "cc/kernels": 20,
    "cc/index": 20,
    "cc/online_store": 20,
    "cc/row_file": 22,
    "cc/ops": 25,
    "cc/pybind": 25,
    "py/stepwell/front": 30,
    "py/stepwell/ops": 30,
    "py/stepwell/index": 30,
    "py/stepwell/schema": 35,
    "py/stepwell/models": 40,
    "py/stepwell/degradation": 50,
    "py/stepwell/embeddings": 50,
    "py/stepwell/experiments": 50,
    "py/stepwell/releases": 50,
    "py/stepwell/stores": 50,
    "py/stepwell/pipeline": 60,
    "py/stepwell/features": 70,
    "py/stepwell/feedback": 70,
    "py/stepwell/ranking": 70,
    "py/stepwell/reranking": 70,
    "py/stepwell/retrieval": 70,
    "py/stepwell/console": 80,
    "py/stepwell/serving": 80,
    "py/stepwell/simulation": 80,
    "py/stepwell/training": 80,
}

# Entry points see every room.
ENTRY_POINTS = ["py/bin", "tests", "loadtest", "tools"]

def room_of(package):
    """The room that a package lies in, or None outside of the floors."""
    for room in FLOORS:
        if package == room or package.startswith(room + "/"):
            return room
    return None

def floor_visibility(package):
    """Visibility of a library in `package`: its own room and all that is above."""
    room = room_of(package)
    if room == None:
        return ["//visibility:public"]
    above = [r for r in FLOORS if FLOORS[r] > FLOORS[room]]
    return ["//{}:__subpackages__".format(r) for r in [room] + above + ENTRY_POINTS]
