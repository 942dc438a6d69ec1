"""A label space over parts and objects."""

from collections.abc import Sequence

import torch
from torch import Tensor

from crfrnn.data.parts.merging import Merge, merged
from crfrnn.data.parts.vocabulary import Vocabulary, check_object_classes
from crfrnn.data.parts.vocabulary import mirrored as mirrored_part
from crfrnn.data.sample import VOID


class PartLabels:
    """Background, the parts of some object classes, and other object classes as one label each, in this order.

    Args:
        vocabulary: the parts of every object class with their indices, which order them.
        classes: object classes whose parts are labels. One without parts becomes a single label.
        objects: object classes that are one label each, with or without parts.
        merge: which parts count as one.
        object_first: whether the object itself is a label, before those of its parts, for pixels that belong to none of
            them. Otherwise such pixels are void: they belong to the object, but the annotation does not say to which part.

    Attributes:
        names: the names of the labels, such as "cat head", or "head" where there is one object class.
        mirrored: what each label becomes in a mirror image.

    Raises ValueError for classes that the vocabulary lacks or that are given twice, and for more than 255 labels.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        classes: Sequence[str],
        objects: Sequence[str] = (),
        merge: Merge = "published",
        *,
        object_first: bool = False,
    ) -> None:
        object_classes = [*classes, *objects]
        check_object_classes(object_classes, vocabulary)
        self.object_classes = tuple(object_classes)
        self._labels: dict[tuple[str, str], int] = {}
        self._whole: dict[str, int] = {}
        names, mirrors = ["background"], {}
        for name in object_classes:
            parts = vocabulary[name] if name in classes else {}
            own = list(dict.fromkeys(merged(name, part, merge) for part in sorted(parts, key=parts.__getitem__)))
            if object_first or not own:
                self._whole[name] = len(names)
                names.append(name)
            number = {part: len(names) + i for i, part in enumerate(own)}
            names += [part if len(object_classes) == 1 else f"{name} {part}" for part in own]
            for part in parts:
                self._labels[name, part] = label = number[merged(name, part, merge)]
                mirrors[label] = number[merged(name, mirrored_part(part, parts), merge)]
        if not 2 <= len(names) <= VOID:
            raise ValueError(
                f"{', '.join(object_classes) or 'no class'} with merge={merge!r} would be {len(names)} labels; wanted 2 to "
                f"{VOID}: choose other classes, or merge more"
            )
        self.names = tuple(names)
        self.mirrored = tuple(mirrors.get(label, label) for label in range(len(names)))

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of the labels that are parts, rather than background or objects."""
        return tuple(self.names[label] for label in sorted(set(self._labels.values())))

    def label(self, object_class: str, part: str) -> int | None:
        """The label of a part; None where it has none of its own."""
        return self._labels.get((object_class, part))

    def rest(self, object_class: str) -> int:
        """The label of what belongs to an object and to none of its parts; 0 for classes without labels."""
        if object_class not in self.object_classes:
            return 0
        return self._whole.get(object_class, VOID)

    def allowed(self, object_class: str) -> Tensor:
        """Which labels an image of one object of this class can hold, bool [L]: background, and those of the class."""
        own = {label for (name, _), label in self._labels.items() if name == object_class}
        own |= {0, self._whole.get(object_class, 0)}
        return torch.tensor([label in own for label in range(len(self.names))])
