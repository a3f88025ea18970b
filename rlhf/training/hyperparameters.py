"""Builds hyperparameter dataclasses from JSON; unknown names, wrong types and values out of range are errors."""

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass
class BadHyperparameter(Exception):
    """One field of a configuration cannot be used."""

    field: str
    value: object
    reason: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value!r}: {self.reason}"


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """Make a dataclass from JSON and call its `validate()`. Raises BadHyperparameter."""
    kinds = typing.get_type_hints(cls)
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in names:
            raise BadHyperparameter(name, value, f"no such hyperparameter of {cls.__name__}")
        _check_kind(name, value, kinds[name])
    made = cls(**{name: _as(kinds[name], value) for name, value in values.items()})
    validate = getattr(made, "validate", None)
    if validate is not None:
        validate()
    return made


def require(holds: bool, field: str, value: object, reason: str) -> None:
    """Raise BadHyperparameter unless `holds`."""
    if not holds:
        raise BadHyperparameter(field, value, reason)


def _check_kind(name: str, value: object, kind: object) -> None:
    if kind is float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    elif kind is int:
        good = isinstance(value, int) and not isinstance(value, bool)
    elif isinstance(kind, type):
        good = isinstance(value, kind)
    else:
        good = True  # a union or a container: validate() looks at it
    require(good, name, value, f"expected {getattr(kind, '__name__', kind)}")


def _as(kind: object, value: Any) -> Any:
    return float(value) if kind is float else value
