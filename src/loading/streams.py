"""The random stream of each view: a function of (seed, epoch, picture), and for a repeat in the pass of its number."""

import numpy as np

from src.settings import random_generator

_WORD = 0xFFFFFFFF
# NumPy's SeedSequence (M. O'Neill's seed_seq_fe) and PCG64. NumPy keeps both from version to version (its NEP 19).
_INIT_A, _MULT_A, _INIT_B, _MULT_B = 0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_PCG_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_POOL = 4


class DrawnError(RuntimeError):
    """Something was drawn where nothing should be: the view would have had no stream of its own."""


class _NoDraws(np.random.Generator):
    """Stands in for a stream where nothing is drawn; whoever draws from it all the same gets ``DrawnError``."""

    def __getattribute__(self, name: str):
        if not name.startswith("__") and hasattr(np.random.Generator, name):
            raise DrawnError(f"{name}() was asked of a view of which nothing is drawn")
        return super().__getattribute__(name)


NO_DRAWS = _NoDraws(np.random.PCG64(0))


def view_generator(seed: int, epoch: int, index: int, n: int) -> np.random.Generator:
    """The stream of one view. ``index`` is a picture's, below ``n``, plus ``n * k`` at its k-th repeat in a pass."""
    again, picture = divmod(int(index), n)
    return random_generator(seed, epoch, picture, *([again] if again else []))


def view_states(seed: int, epoch: int, indices: np.ndarray, n: int) -> list[dict]:
    """``view_generator(seed, epoch, index, n).bit_generator.state`` for each of ``indices``, computed together.

    Making a generator takes longer than all else that a picture of 32 x 32 needs; setting another's state does not.
    """
    pictures = np.asarray(indices) % n
    words = [2, *_words(int(seed) & 0xFFFFFFFFFFFFFFFF), *_words(int(epoch)), pictures]  # as in random_generator
    states = _pcg64_states(np.stack([np.broadcast_to(word, pictures.shape) for word in words]).astype(np.uint32))
    for place in np.flatnonzero(np.asarray(indices) >= n):
        states[place] = view_generator(seed, epoch, indices[place], n).bit_generator.state
    return states


def _words(number: int) -> list[int]:
    """A number as 32-bit words, the lowest first: as many as it needs, and one for zero. As NumPy, none below."""
    if number < 0:
        raise ValueError(f"expected a number of at least 0. Received: {number}")
    words = [number & _WORD]
    while number := number >> 32:
        words.append(number & _WORD)
    return words


def _pcg64_states(entropy: np.ndarray) -> list[dict]:
    """The states of ``PCG64(entropy[:, i])`` for each column of uint32 (words, n)."""
    constant = _INIT_A

    def scramble(values):
        nonlocal constant
        values = values ^ np.uint32(constant)
        constant = constant * _MULT_A & _WORD
        values = values * np.uint32(constant)
        return values ^ (values >> 16)

    def mix(first, second):
        mixed = _MIX_LEFT * first - _MIX_RIGHT * second
        return mixed ^ (mixed >> 16)

    missing = np.zeros((max(0, _POOL - len(entropy)), entropy.shape[1]), np.uint32)
    pool = [scramble(word) for word in np.concatenate([entropy[:_POOL], missing])]
    for source in range(_POOL):
        for other in range(_POOL):
            if other != source:
                pool[other] = mix(pool[other], scramble(pool[source]))
    for word in entropy[_POOL:]:
        pool = [mix(value, scramble(word)) for value in pool]

    output, constant = [], _INIT_B
    for number in range(8):
        values = pool[number % _POOL] ^ np.uint32(constant)
        constant = constant * _MULT_B & _WORD
        values = values * np.uint32(constant)
        output.append((values ^ (values >> 16)).tolist())
    return [_pcg64_state(*words) for words in zip(*output)]


def _pcg64_state(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int) -> dict:
    """PCG64 as it begins, from its start and its sequence: 128 bits each, the upper 64 first, of these the lower 32."""
    start = b << 96 | a << 64 | d << 32 | c
    increment = ((f << 96 | e << 64 | h << 32 | g) << 1 | 1) & (1 << 128) - 1
    state = ((increment + start) * _PCG_MULTIPLIER + increment) & (1 << 128) - 1
    return {"bit_generator": "PCG64", "state": {"state": state, "inc": increment}, "has_uint32": 0, "uinteger": 0}
