"""How inputs are spoilt, whatever they are: bytes, lists of pieces, and trees of JSON. All by one ``random.Random``."""

import copy
import json
from collections.abc import Sequence
from random import Random

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
TEXTS = (
    "", " ", "\0", "\n", "..", "../x", "/etc/passwd", "a/b", "a\\b", "C:x", "\ud800", "\udcff", "=1+1", "-x", "$x$",
    "é馬", "x" * 300, "9" * 5000, "train", "NaN",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.0, -0.0, 0.5, 1e308, float("nan"), float("inf"), float("-inf"))


def spoil_bytes(random: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to four of: bits turned, numbers set to extremes, pieces cut out, doubled, exchanged, zeroed, and what stands
    in ``others`` put in."""
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        random.choice(_CHANGES)(random, result, others)
    return bytes(result)


def _piece(random: Random, length: int) -> slice:
    start = random.randrange(length + 1)
    return slice(start, start + random.choice((1, 2, 4, 8, 16, 64, 512, length // 2)))


def _turn_bit(random, result, others):
    if result:
        result[random.randrange(len(result))] ^= 1 << random.randrange(8)


def _set_number(random, result, others):
    size, order = random.choice((1, 2, 4)), random.choice(("big", "little"))
    place = random.randrange(max(1, len(result) - size))
    if random.random() < 0.3:  # beside what stands there
        value = int.from_bytes(result[place : place + size], order) + random.choice((-2, -1, 1, 2))
    else:
        value = random.choice(EXTREMES)
    result[place : place + size] = (value % 256**size).to_bytes(size, order)


def _cut_out(random, result, others):
    del result[_piece(random, len(result))]


def _cut_off(random, result, others):
    del result[random.randrange(len(result) + 1) :]


def _double(random, result, others):
    piece = _piece(random, len(result))
    result[piece.start : piece.start] = result[piece] * random.choice((1, 2, 8))


def _move(random, result, others):
    piece = _piece(random, len(result))
    moved = bytes(result[piece])
    del result[piece]
    place = random.randrange(len(result) + 1)
    result[place:place] = moved


def _fill(random, result, others):
    piece = _piece(random, len(result))
    result[piece] = random.choice((b"\0", b"\xff", random.randbytes(1))) * len(result[piece])


def _insert(random, result, others):
    place = random.randrange(len(result) + 1)
    result[place:place] = random.randbytes(random.choice((1, 2, 4, 16, 100)))


def _splice(random, result, others):
    if others:
        other = random.choice(others)
        result[_piece(random, len(result))] = other[_piece(random, len(other))]


_CHANGES = (_turn_bit, _turn_bit, _set_number, _set_number, _set_number, _cut_out, _cut_off, _double, _move, _fill,
            _insert, _splice)  # fmt: skip


def spoil_pieces(random: Random, pieces: list[tuple[bytes, bytes]], others: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Change a list of (tag, content) in place: pieces left out, doubled, moved, renamed, put in, spoilt themselves."""
    for _ in range(random.choice((1, 1, 2, 3))):
        place = random.randrange(len(pieces)) if pieces else 0
        change = random.choice(("drop", "double", "move", "rename", "put in", "spoil", "spoil", "spoil", "empty"))
        if change == "put in" and others:
            pieces.insert(place, random.choice(others))
        elif not pieces:
            return
        elif change == "drop":
            del pieces[place]
        elif change == "double":
            pieces[place:place] = [pieces[place]] * random.choice((1, 2, 50))
        elif change == "move":
            pieces.insert(random.randrange(len(pieces)), pieces.pop(place))
        elif change == "rename":
            pieces[place] = (random.choice([tag for tag, _ in [*pieces, *others]]), pieces[place][1])
        elif change == "empty":
            pieces[place] = (pieces[place][0], b"")
        else:
            tag, content = pieces[place]
            pieces[place] = (tag, spoil_bytes(random, content, [content for _, content in pieces]))


def any_value(random: Random, depth: int = 0):
    """Some value that JSON can hold, mostly an odd one."""
    kind = random.randrange(8 if depth < 3 else 6)
    if kind < 2:
        return random.choice(TEXTS)
    if kind < 4:
        return random.choice(NUMBERS)
    if kind < 6:
        return random.choice((None, True, False))
    if kind == 6:
        return [any_value(random, depth + 1) for _ in range(random.choice((0, 1, 2, 3)))]
    return {random.choice(TEXTS): any_value(random, depth + 1) for _ in range(random.choice((0, 1, 2)))}


def spoil_tree(random: Random, tree):
    """A tree of JSON with one to three nodes changed, left out, doubled or exchanged. ``tree`` itself may change."""
    holder = [tree]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        parent, key = random.choice(_nodes(holder))
        change = random.choice(("replace", "replace", "replace", "drop", "rename", "nest", "exchange"))
        if change == "drop" and parent is not holder:
            del parent[key]
        elif change == "rename" and isinstance(parent, dict):
            parent[random.choice((*TEXTS, *parent))] = parent.pop(key)
        elif change == "nest":
            parent[key] = random.choice(([parent[key]], {"x": parent[key]}))
        elif change == "exchange":
            source, other = random.choice(_nodes(holder))
            value = source[other]
            if not isinstance(value, (list, dict)):  # else it might hold itself
                parent[key] = value
        else:
            parent[key] = any_value(random)
    return holder[0]


def _nodes(tree) -> list[tuple]:
    """(parent, key) of every node below ``tree``."""
    found, waiting = [], [tree]
    while waiting:
        parent = waiting.pop()
        items = parent.items() if isinstance(parent, dict) else enumerate(parent)
        for key, value in items:
            found.append((parent, key))
            if isinstance(value, (list, dict)):
                waiting.append(value)
    return found


def spoil_json(random: Random, value) -> bytes:
    """A file of JSON that holds ``value``, spoilt as a tree, now and then as bytes, too."""
    data = json.dumps(spoil_tree(random, copy.deepcopy(value)), indent=1).encode()
    if random.random() < 0.1:
        data = data.replace(b"42", b"9" * 5000).replace(b"NaN", b"1e999")
    if random.random() < 0.02:
        data = b"[" * 10**5
    return spoil_bytes(random, data) if random.random() < 0.15 else data
