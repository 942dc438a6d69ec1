"""A recipe from its JSON file, with errors that name the file and the field."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from crfrnn._files import read_json
from train.recipes.schema import Recipe


def read_recipe(path: Path) -> Recipe:
    """The recipe in the recipe.json of a run.

    Raises FileNotFoundError where there is none, and ValueError where a field is unknown, missing, or of another type.
    """
    content = read_json(path)
    try:
        return build(Recipe, content, "the recipe")
    except ValueError as error:
        raise ValueError(f"{path} is no recipe of this version: {error}") from error


def build(kind: Any, value: Any, name: str) -> Any:
    """What JSON's `value` is as a `kind`: a dataclass, a plain type, or what a field of a recipe is made of.

    Raises ValueError, with the dotted `name`, where it is none.
    """
    origin, choices = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return record(kind, value, name)
    if origin in (UnionType, Union):
        return one_of(choices, value, name)
    if origin is Literal and isinstance(value, str) and value in choices:
        return value
    if origin is Mapping and isinstance(value, dict):
        return {key: build(choices[1], inner, f"{name}.{key}") for key, inner in value.items()}
    if origin is tuple and isinstance(value, list) and (choices[-1] is ... or len(value) == len(choices)):
        return tuple(build(choices[0], inner, name) for inner in value)
    if type(value) is kind or (kind is float and type(value) is int and abs(value) < 2**53):
        return kind(value)
    raise ValueError(f"{name} is {short(value)}; wanted {words(kind)}")


def one_of(choices: tuple[Any, ...], value: Any, name: str) -> Any:
    """A value of one of several types, such as a number or None, or a number or a word."""
    if value is None and NoneType in choices:
        return None
    kinds = [choice for choice in choices if choice is not NoneType]
    if len(kinds) == 1:
        return build(kinds[0], value, name)
    word = next((kind for kind in kinds if get_origin(kind) is Literal and value in get_args(kind)), None)
    if word is None and isinstance(value, str):
        raise ValueError(f"{name} is {short(value)}; wanted {' or '.join(map(words, kinds))}")
    return value if word is not None else build(kinds[0], value, name)


def record(kind: type, value: Any, name: str) -> Any:
    """A dataclass from a dictionary of its fields."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {short(value)}; wanted an object with the fields of {kind.__name__}")
    prefix = "" if kind is Recipe else f"{name}."
    types = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    for key in value:
        if key not in known:
            raise ValueError(f"there is no field {prefix}{key}; rename it to one of {', '.join(known)}, or take it out")
    for field in known.values():
        if field.name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"the field {prefix}{field.name} is missing; add it")
    return kind(**{key: build(types[key], inner, f"{prefix}{key}") for key, inner in value.items()})


def words(kind: Any) -> str:
    """A type in words."""
    plain = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) is tuple:
        first, *rest = get_args(kind)
        many = "a list" if ... in rest else f"a list of {1 + len(rest)}"
        return f"{many}, each {words(first)}"
    return plain.get(kind, "an object")


def short(value: Any) -> str:
    """The beginning of a value."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
