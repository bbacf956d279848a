"""The file of experiments: who is in which, and what it changes for them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepwell.base.errors import InvalidArgumentError
from stepwell.experiments.assignment import NUM_BUCKETS, Arm, Experiment, Layer

MAX_FILE_BYTES = 1 << 20
MAX_LAYERS = 16

CheckOverrides = Callable[[Mapping[str, float]], object]
"""Raises InvalidArgumentError, with the setting as its field, on what it refuses."""

_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
_Buckets = Annotated[int, Field(ge=0, le=NUM_BUCKETS)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False
    )


class _ArmSection(_Section):
    name: _Name
    num_buckets: _Buckets
    overrides: dict[str, float] = Field(default={}, max_length=32)


class _ExperimentSection(_Section):
    name: _Name
    first_bucket: _Buckets
    arms: list[_ArmSection] = Field(min_length=1, max_length=32)


class _LayerSection(_Section):
    name: _Name
    salt: Annotated[str, Field(min_length=1, max_length=64)]
    experiments: list[_ExperimentSection] = Field(max_length=256)


class _File(_Section):
    format_version: Literal[1]
    layers: list[_LayerSection] = Field(max_length=MAX_LAYERS)


def read_layers(path: Path, check_overrides: CheckOverrides) -> tuple[Layer, ...]:
    """Reads a file; nothing of it counts where anything in it is wrong.

    Raises:
        InvalidArgumentError: it cannot be read, is larger than 1 MiB, is no JSON, or a
            field is unknown or out of its range; names the first one at fault.
    """
    try:
        # Looked at first: a parser's memory is a multiple of its text.
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidArgumentError(
                f"{path} has {path.stat().st_size} bytes, must be <= {MAX_FILE_BYTES}",
                "experiments",
            )
        text = path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(f"{path}: {error}", "experiments") from error
    try:
        return parse_layers(text, check_overrides)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{path}: {error}", error.field) from error


def parse_layers(text: bytes, check_overrides: CheckOverrides) -> tuple[Layer, ...]:
    """Returns the layers that a file's text says; errors as `read_layers`."""
    try:
        said = _File.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise InvalidArgumentError(
            f"{where}: {fault['msg']} (is {fault['input']!r:.60})", where
        ) from error
    layers = tuple(
        _layer(section, f"layers.{place}", check_overrides)
        for place, section in enumerate(said.layers)
    )
    _check_once("layer", [layer.name for layer in layers])
    _check_once(
        "experiment", [one.name for layer in layers for one in layer.experiments]
    )
    _check_one_layer_a_setting(layers)
    return layers


def _layer(section: _LayerSection, where: str, check: CheckOverrides) -> Layer:
    experiments = tuple(
        _experiment(one, f"{where}.experiments.{place}", check)
        for place, one in enumerate(section.experiments)
    )
    with _Located(where):
        return Layer(section.name, section.salt, experiments)


def _experiment(
    section: _ExperimentSection, where: str, check: CheckOverrides
) -> Experiment:
    arms = []
    for place, arm in enumerate(section.arms):
        with _Located(f"{where}.arms.{place}.overrides"):
            check(arm.overrides)
        arms.append(Arm(arm.name, arm.num_buckets, arm.overrides))
    with _Located(where):
        return Experiment(section.name, section.first_bucket, tuple(arms))


class _Located:
    """Says of an error inside where in the file it is."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, InvalidArgumentError):
            where = ".".join(filter(None, (self._where, error.field)))
            raise InvalidArgumentError(f"{where}: {error}", where) from error


def _check_once(kind: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgumentError(f"two {kind}s are named {name!r}", "name")


def _check_one_layer_a_setting(layers: tuple[Layer, ...]) -> None:
    """A setting of two layers would make the one's effect hang on the other's arm."""
    owner: dict[str, str] = {}
    for layer in layers:
        for one in layer.experiments:
            for name in {name for arm in one.arms for name in arm.overrides}:
                if owner.setdefault(name, layer.name) != layer.name:
                    raise InvalidArgumentError(
                        f"{name} is overridden in layers {owner[name]!r} and "
                        f"{layer.name!r}; experiments that share a setting belong "
                        "into one layer",
                        name,
                    )
