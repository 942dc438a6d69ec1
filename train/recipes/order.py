"""Which stage follows which, and stages that are like another: the controls of joint training."""

from collections.abc import Mapping
from dataclasses import fields, replace

from train.recipes.schema import Recipe, Stage

OWN = ("trains", "start", "like")
"""fields that a stage does not have from the one it is like"""


def previous(stages: Mapping[str, Stage], name: str) -> str | None:
    """The stage that stage `name` begins from; None for the first. Raises ValueError where `start` names none before it."""
    names = list(stages)
    earlier = names[: names.index(name)]
    start = stages[name].start
    if start is not None and start not in earlier:
        raise ValueError(
            f"--stages.{name}.start is {start!r}; wanted one of the stages before it ({', '.join(earlier) or 'none'})"
        )
    return start or (earlier[-1] if earlier else None)


def is_control(stages: Mapping[str, Stage], name: str) -> bool:
    """Whether a stage goes on with the network alone where another, which it is like, goes on with network and CRF."""
    stage = stages[name]
    return stage.trains == "network" and stage.like is not None and stages[stage.like].trains == "joint"


def begins_from_control(stages: Mapping[str, Stage], name: str) -> bool:
    """Whether the stage before stage `name` is a control."""
    before = previous(stages, name)
    return before is not None and is_control(stages, before)


def follow(recipe: Recipe, start: Recipe) -> Recipe:
    """`recipe`, in which stages that are like another have its fields, with what was changed in it since `start`.

    Raises ValueError where the fields of such a stage were changed, and as `check_likes`.
    """
    check_likes(recipe.stages)
    stages = dict(recipe.stages)
    for name, stage in recipe.stages.items():
        if stage.like is None:
            continue
        wanted = replace(recipe.stages[stage.like], **{field: getattr(stage, field) for field in OWN})
        if stage not in (wanted, replace(start.stages[name], **{field: getattr(stage, field) for field in OWN})):
            field = next(own.name for own in fields(Stage) if getattr(stage, own.name) != getattr(wanted, own.name))
            flag = field.replace("_", "-")
            raise ValueError(
                f"--stages.{name}.{flag} is another than that of stage {stage.like!r}, which stage {name!r} is like; set "
                f"--stages.{stage.like}.{flag} for both, or --stages.{name}.like None to part them"
            )
        stages[name] = wanted
    return replace(recipe, stages=stages)


def check_likes(stages: Mapping[str, Stage]) -> None:
    """Raise ValueError where a stage is like one that there is not, or a control begins elsewhere than joint training."""
    for name, stage in stages.items():
        if stage.like is None:
            continue
        others = [other for other, it in stages.items() if it.like is None]
        if stage.like not in others:
            raise ValueError(
                f"--stages.{name}.like is {stage.like!r}; wanted None, or a stage that is like no other "
                f"({', '.join(others) or 'none'})"
            )
        begins = previous(stages, stage.like)
        if is_control(stages, name) and previous(stages, name) != begins:
            raise ValueError(
                f"--stages.{name}.start is {stage.start!r}, but stage {stage.like!r}, whose control it is, begins from "
                f"{begins!r}; wanted the same start for both"
            )
