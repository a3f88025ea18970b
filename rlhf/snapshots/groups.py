"""Groups the held-out lines of a snapshot that must not be torn apart when their prompts are divided into folds.

A judge may not learn from a beginning of a conversation, or from nearly the same prompt, of what it then judges.
The bonds are those by which the split itself holds lines together (rlhf.snapshots.leaks).
"""

from collections.abc import Collection, Hashable, Iterable

from django.utils.crypto import salted_hmac

from feedback.models import Prompt
from feedback.near_duplicates import Index, sketch
from rlhf.snapshots.leaks import Origin


def group_keys(origins: Collection[Origin]) -> dict[Origin, str]:
    """A key for each held-out origin, equal within a group: the same rows give the same keys."""
    held_out = {one for one in origins if one.split == Prompt.Split.HELD_OUT}
    bonds = {one: [*_bonds(one)] for one in held_out}
    parents: dict[Hashable, Hashable] = {}
    for found in bonds.values():
        for bond in found:
            _join(parents, found[0], bond)
    for kind in ("opening", "whole"):
        texts = {getattr(one, kind) for one in held_out}
        sketches = [sketch(text) for text in texts]
        index = Index(sketches)
        for of in sketches:
            for near in index.near(of):
                _join(parents, (kind, of.key), (kind, near.key))
    return _named({one: _root(parents, found[0]) for one, found in bonds.items()})


def _bonds(one: Origin) -> Iterable[Hashable]:
    """What it has in common with others of its group."""
    yield ("opening", sketch(one.opening).key)
    yield ("whole", sketch(one.whole).key)
    if one.conversation is not None:
        yield ("conversation", str(one.conversation))


def _root(parents: dict[Hashable, Hashable], member: Hashable) -> Hashable:
    while (parent := parents.get(member, member)) != member:
        parents[member] = parents.get(parent, parent)
        member = parent
    return member


def _join(parents: dict[Hashable, Hashable], one: Hashable, other: Hashable) -> None:
    parents[_root(parents, one)] = _root(parents, other)


def _named(roots: dict[Origin, Hashable]) -> dict[Origin, str]:
    """Each group by its least opening, of which the key tells nothing."""
    least: dict[Hashable, str] = {}
    for one, root in roots.items():
        key = sketch(one.opening).key
        least[root] = min(key, least.get(root, key))
    return {
        one: salted_hmac("rlhf.snapshots.group", least[root], algorithm="sha256").hexdigest()[:16]
        for one, root in roots.items()
    }
