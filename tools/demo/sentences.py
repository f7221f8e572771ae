"""Questions in sentences about scenes of one to four objects, with one right answer each.

A rule decides every answer's words and their order, so that comparing whole
strings is a fair measure.  A question is asked only where its answer is clear
to the eye: `ask` returns None for a scene that leaves it open.
"""

import numpy as np

import scenes
from scenes import COLORS, HELD_PAIRS, SHAPES

TYPES = ["describe", "relation", "color", "shape", "choice", "exist", "count"]
NUMBERS = ["zero", "one", "two", "three", "four"]
RELATIONS = ["left of", "right of", "above", "below"]
DESCRIBE = ["Describe the picture.", "What is in the picture?"]
COUNT = ["How many objects are there?", "How many objects are in the picture?"]


def make_scene(split, index):
    """The scene `index` of `split` with one to four objects."""
    rng = np.random.default_rng([9, scenes.SPLITS[split], index])
    return scenes.make_scene(split, index, n=int(rng.choice([1, 2, 3, 4], p=[0.10, 0.32, 0.30, 0.28])))


def relation(a, b):
    """Where a is, seen from b; None where the direction is not clear-cut."""
    dx, dy = a["x"] - b["x"], a["y"] - b["y"]
    if max(abs(dx), abs(dy)) < 1.35 * min(abs(dx), abs(dy)):
        return None
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"


def article(word):
    return "an " + word if word[0] in "aeiou" else "a " + word


def phrase(o):
    return article(COLORS[o["color"]] + " " + SHAPES[o["shape"]])


def pair(o):
    return o["color"], o["shape"]


def describe(objs):
    """Two objects by their relation, left or upper one first; otherwise a list from left to right.

    Returns the answer and the objects in its order, or None.
    """
    if any(min(pair(o)) < 0 for o in objs):
        return None
    if len(objs) == 2:
        word = relation(objs[0], objs[1])
        if word is None:
            return None
        a, b = objs if word in ("left of", "above") else objs[::-1]
        return f"{phrase(a)} {'left of' if word in ('left of', 'right of') else 'above'} {phrase(b)}", [a, b]
    objs = sorted(objs, key=lambda o: o["x"])
    if any(b["x"] - a["x"] < 0.08 for a, b in zip(objs, objs[1:])):
        return None
    words = [phrase(o) for o in objs]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1], objs


def relations(objs):
    """All (reference, direction, answer) with a reference named once and one answer beyond doubt."""
    out = []
    for i, ref in enumerate(objs):
        if min(pair(ref)) < 0 or [pair(o) for o in objs].count(pair(ref)) > 1:
            continue
        found = {w: [] for w in RELATIONS}
        for k, o in enumerate(objs):
            if k == i:
                continue
            word = relation(o, ref)
            for w in [word] if word else RELATIONS:
                found[w].append(k if word else None)  # None: an object that may or may not count
        out += [(i, w, ks[0]) for w, ks in found.items()
                if len(ks) == 1 and ks[0] is not None and min(pair(objs[ks[0]])) >= 0]
    return out


def _pick(rng, seq):
    return seq[int(rng.random() * len(seq))]


def _exists(objs, rng, ids):
    """A yes or no question; a no names a combination that differs from an object in one part or in both."""
    shapes, colors = [o["shape"] for o in objs], [o["color"] for o in objs]
    form, yes = int(rng.integers(3)), rng.random() < 0.5
    c, s = int(rng.integers(len(COLORS))), int(rng.integers(len(SHAPES)))
    o = objs[_pick(rng, ids)]
    if yes:
        c, s = pair(o)
    elif form == 0 and rng.random() < 0.8:
        c, s = (o["color"], s) if rng.random() < 0.5 else (c, o["shape"])
    if form == 0:
        there = any(pair(o) == (c, s) for o in objs)
        if min(c, s) < 0 or there != yes or (not yes and (c, s) in HELD_PAIRS):
            return None
        return f"Is there {article(COLORS[c] + ' ' + SHAPES[s])}?", "yes" if yes else "no"
    if form == 1:
        if s < 0 or (s in shapes) != yes:
            return None
        return f"Is there {article(SHAPES[s])}?", "yes" if yes else "no"
    if c < 0 or (c in colors) != yes:
        return None
    return f"Is there {article(COLORS[c])} object?", "yes" if yes else "no"


def _choice(objs, rng, one_shape, one_color):
    """Two colours of a shape or two shapes of a colour to choose from; often the other one is in the picture."""
    if one_shape and (not one_color or rng.random() < 0.5):
        o = objs[_pick(rng, one_shape)]
        near = [p["color"] for p in objs if p["color"] >= 0]
        other = _pick(rng, near) if rng.random() < 0.5 else int(rng.integers(len(COLORS)))
        if other == o["color"] or (other, o["shape"]) in HELD_PAIRS:
            return None
        two = [COLORS[o["color"]], COLORS[other]]
        q, right = f"Is the {SHAPES[o['shape']]} {{}} or {{}}?", two[0]
    elif one_color:
        o = objs[_pick(rng, one_color)]
        near = [p["shape"] for p in objs if p["shape"] >= 0]
        other = _pick(rng, near) if rng.random() < 0.5 else int(rng.integers(len(SHAPES)))
        if other == o["shape"] or (o["color"], other) in HELD_PAIRS:
            return None
        two = [article(SHAPES[o["shape"]]), article(SHAPES[other])]
        q, right = f"Is the {COLORS[o['color']]} object {{}} or {{}}?", two[0]
    else:
        return None
    if rng.random() < 0.5:
        two = two[::-1]
    return q.format(*two), right, None, [o]


def draw(scene, rng, kind, target=None):
    """Draw one question of `kind`; returns (question, answer, reference, objects) or None.

    The reference is the object that the question's last noun names, the objects are those that the answer is about
    or names, in its order; None and [] where there is no such thing.  With `target`, the question or its answer is
    about that object.
    """
    objs = scene["objects"]
    shapes, colors = [o["shape"] for o in objs], [o["color"] for o in objs]
    ids = list(range(len(objs))) if target is None else [target]
    named = [i for i in ids if min(pair(objs[i])) >= 0]
    one_shape = [i for i in named if shapes.count(shapes[i]) == 1]
    one_color = [i for i in named if colors.count(colors[i]) == 1]
    if kind == "describe":
        answer = describe(objs)
        return answer and (_pick(rng, DESCRIBE), answer[0], None, answer[1])
    if kind == "relation":
        found = [r for r in relations(objs) if target is None or target in (r[0], r[2])]
        if not found:
            return None
        i, word, k = _pick(rng, found)
        return (f"What is {word} the {COLORS[colors[i]]} {SHAPES[shapes[i]]}?", phrase(objs[k]), objs[i], [objs[k]])
    if kind in ("color", "shape"):
        clear = one_shape if kind == "color" else one_color
        if not clear:
            return None
        o = objs[_pick(rng, clear)]
        color, shape = COLORS[o["color"]], SHAPES[o["shape"]]
        if kind == "color":
            return f"What color is the {shape}?", color, o, [o]
        return f"What shape is the {color} object?", article(shape), o, [o]
    if kind == "choice":
        return _choice(objs, rng, one_shape, one_color)
    if kind == "exist":
        found = _exists(objs, rng, ids)
        return found and (*found, None, [])
    return _pick(rng, COUNT), NUMBERS[len(objs)], None, []


def ask(scene, rng, kind, target=None):
    """Draw one question of `kind`; returns (question, answer) or None."""
    drawn = draw(scene, rng, kind, target)
    return drawn and drawn[:2]


def word_list():
    """All words of questions and answers: those that follow a space, and those that begin a question."""
    words = ("is are the a an in of or and to there object objects picture color shape left right above below "
             "many yes no zero one two three four").split()
    return words + COLORS + SHAPES, ["Describe", "What", "Is", "How"]
