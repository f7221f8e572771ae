"""Synthetic scenes for the demo models: drawing, questions and data splits.

A scene is a light, faintly textured background with one to four coloured
shapes on it.  Every scene comes from a seeded generator, so a split is fully
described by (split name, index).  Coordinates and radii are fractions of the
picture's side, which lets one scene be drawn at any resolution.

Colour x shape combinations are divided in two: `HELD_OUT` pairs are never
drawn in a training scene.  The `held_combo` split draws at least one of them
in each scene and asks about that object.  Some objects of training scenes have
a colour or a shape that no question names (index -1), so that shape has to be
seen apart from colour and colour apart from shape.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ["circle", "square", "triangle", "star", "cross"]
PLURALS = ["circles", "squares", "triangles", "stars", "crosses"]
COLORS = ["red", "green", "blue", "yellow", "purple", "orange", "black"]
RGB = [
    (214, 38, 38),
    (40, 155, 60),
    (42, 82, 214),
    (240, 212, 40),
    (138, 48, 172),
    (242, 136, 28),
    (32, 32, 36),
]
TYPES = ["color", "shape", "count", "where"]
SIDES = ["left", "right", "top", "bottom"]

# (colour, shape) pairs that no training scene contains: one per shape.
HELD_OUT = {
    ("red", "star"),
    ("green", "circle"),
    ("blue", "cross"),
    ("yellow", "triangle"),
    ("purple", "square"),
}
ALL_PAIRS = [(c, s) for c in range(len(COLORS)) for s in range(len(SHAPES))]
HELD_PAIRS = [p for p in ALL_PAIRS if (COLORS[p[0]], SHAPES[p[1]]) in HELD_OUT]
TRAIN_PAIRS = [p for p in ALL_PAIRS if p not in HELD_PAIRS]

# Outlines without a name: a bar, a narrow rhombus, a chevron.
ODD_OUTLINES = [
    [(-1.15, -0.32), (1.15, -0.32), (1.15, 0.32), (-1.15, 0.32)],
    [(0, -1.2), (0.55, 0), (0, 1.2), (-0.55, 0)],
    [(-1, 0.7), (0, -0.6), (1, 0.7), (1, 0.1), (0, -1.15), (-1, 0.1)],
]
ODD_COLOR, ODD_SHAPE = 0.45, 0.15  # shares among the objects of training scenes

SPLITS = {"train": 1, "held_scene": 2, "held_combo": 3, "examples": 4, "plain": 5,
          "object_train": 6, "object_test": 7, "object_examples": 8}


def _place(rng, n):
    """Pick n non-overlapping (x, y, r) placements."""
    hi = {1: 0.19, 2: 0.18, 3: 0.155, 4: 0.14}[n]
    while True:
        out = []
        for _ in range(n):
            for _ in range(40):
                r = rng.uniform(0.1, hi)
                m = 1.22 * r + 0.01
                x, y = rng.uniform(m, 1 - m, 2)
                if all(math.hypot(x - a, y - b) > 1.22 * (r + q) for a, b, q in out):
                    out.append((x, y, r))
                    break
            else:
                break
        if len(out) == n:
            return out


def _odd_rgb(rng):
    """A colour far from every named one and from the backgrounds."""
    while True:
        rgb = rng.uniform(0, 255, 3)
        if rgb.mean() < 190 and min(np.linalg.norm(rgb - np.array(c)) for c in RGB) > 60:
            return rgb


def make_scene(split, index, n=None):
    """Return the scene `index` of `split` as a dict; same arguments, same scene."""
    rng = np.random.default_rng([SPLITS[split], index])
    if n is None:
        n = int(rng.choice([1, 2, 3, 4], p=[0.12, 0.26, 0.31, 0.31]))
    distinct = rng.random() < 0.5
    if not distinct and n > 1 and rng.random() < 0.5:
        # few shapes or few colours, so that counts above one are common
        if rng.random() < 0.5:
            keep = rng.choice(len(SHAPES), 2, replace=False)
            pool = [p for p in TRAIN_PAIRS if p[1] in keep]
        else:
            keep = rng.choice(len(COLORS), 2, replace=False)
            pool = [p for p in TRAIN_PAIRS if p[0] in keep]
    else:
        pool = TRAIN_PAIRS
    pairs = []
    if split == "held_combo":
        pairs.append(HELD_PAIRS[int(rng.integers(len(HELD_PAIRS)))])
        if not distinct:
            pool = pool + HELD_PAIRS
    while len(pairs) < n:
        c, s = pool[int(rng.integers(len(pool)))]
        if distinct and any(c == a or s == b for a, b in pairs):
            continue
        pairs.append((c, s))
    objs = []
    for (c, s), (x, y, r) in zip(pairs, _place(rng, n)):
        rgb = np.clip(np.array(RGB[c]) + rng.normal(0, 11, 3), 0, 255)
        o = {"color": c, "shape": s, "x": x, "y": y, "r": r, "rot": rng.uniform(-0.18, 0.18)}
        roll = rng.random() if split == "train" else 1.0
        if roll < ODD_COLOR:
            o["color"], rgb = -1, _odd_rgb(rng)
        elif roll < ODD_COLOR + ODD_SHAPE:
            o["shape"], o["odd"] = -1, int(rng.integers(len(ODD_OUTLINES)))
            o["rot"] = rng.uniform(-math.pi, math.pi)
        o["rgb"] = [int(v) for v in rgb]
        objs.append(o)
    return {"objects": objs, "bg_seed": int(rng.integers(1 << 30))}


def make_object(split, index, pair=None):
    """The scene `index` of `split` with one large object of any combination, or of `pair`."""
    rng = np.random.default_rng([SPLITS[split], index])
    drawn = ALL_PAIRS[int(rng.integers(len(ALL_PAIRS)))]
    c, s = drawn if pair is None else pair
    r = rng.uniform(0.15, 0.28)
    m = 1.22 * r + 0.01
    x, y = rng.uniform(m, 1 - m, 2)
    rgb = np.clip(np.array(RGB[c]) + rng.normal(0, 11, 3), 0, 255)
    o = {"color": c, "shape": s, "x": x, "y": y, "r": r, "rot": rng.uniform(-0.18, 0.18),
         "rgb": [int(v) for v in rgb]}
    return {"objects": [o], "bg_seed": int(rng.integers(1 << 30))}


def pair_label(pair):
    """The class name of a (colour, shape) pair."""
    return f"{COLORS[pair[0]]} {SHAPES[pair[1]]}"


def _outline(o, size):
    """Polygon of an object in pixels (circles are drawn as ellipses)."""
    name, r = SHAPES[o["shape"]], o["r"]
    if o["shape"] < 0:
        pts = ODD_OUTLINES[o["odd"]]
    elif name == "square":
        pts = [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]
    elif name == "triangle":
        pts = [(1.2 * math.sin(a), 0.12 - 1.2 * math.cos(a))
               for a in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
    elif name == "star":
        pts = [((1.2 if k % 2 == 0 else 0.5) * math.sin(k * math.pi / 5),
                -(1.2 if k % 2 == 0 else 0.5) * math.cos(k * math.pi / 5)) for k in range(10)]
    else:
        w, e = 0.34, 1.05
        pts = [(-w, -e), (w, -e), (w, -w), (e, -w), (e, w), (w, w),
               (w, e), (-w, e), (-w, w), (-e, w), (-e, -w), (-w, -w)]
    ca, sa = math.cos(o["rot"]), math.sin(o["rot"])
    return [((o["x"] + r * (ca * a - sa * b)) * size, (o["y"] + r * (sa * a + ca * b)) * size)
            for a, b in pts]


def _paint(draw, o, size, fill):
    if o["shape"] == SHAPES.index("circle"):
        x, y, r = o["x"] * size, o["y"] * size, o["r"] * size
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    else:
        draw.polygon(_outline(o, size), fill=fill)


def draw_scene(scene, size, supersample=1):
    """Draw a scene as an RGB picture of `size` x `size` pixels."""
    big = size * supersample
    rng = np.random.default_rng(scene["bg_seed"])
    base = rng.uniform(212, 250) + rng.uniform(-8, 8, 3)
    cells = int(rng.integers(3, 28))
    amp = rng.uniform(0, 5)
    tex = rng.normal(0, amp, (cells, cells)).astype(np.float32)
    tint = np.clip(tex[..., None] + base, 0, 255).astype(np.uint8)
    img = Image.fromarray(tint).resize((big, big), Image.BICUBIC)
    draw = ImageDraw.Draw(img)
    for o in scene["objects"]:
        _paint(draw, o, big, tuple(o["rgb"]))
    return img if supersample == 1 else img.resize((size, size), Image.LANCZOS)


def patch_map(scene, grid, fine=8):
    """Object index of every patch: -1 background, -2 only grazed by an object."""
    side = grid * fine
    img = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(img)
    for k, o in enumerate(scene["objects"]):
        _paint(draw, o, side, k + 1)
    a = np.asarray(img).reshape(grid, fine, grid, fine)
    out = np.full((grid, grid), -1, np.int8)
    for k in range(len(scene["objects"])):
        cover = (a == k + 1).mean((1, 3))
        out[(cover > 0) & (out < 0)] = -2
        out[cover >= 0.3] = k
    return out


def flip_scene(scene):
    """Mirror a scene left to right."""
    objs = [dict(o, x=1 - o["x"], rot=-o["rot"]) for o in scene["objects"]]
    return {"objects": objs, "bg_seed": scene["bg_seed"]}


def position_word(o):
    """left/right/top/bottom, or None when the position is not clear-cut."""
    dx, dy = o["x"] - 0.5, o["y"] - 0.5
    big, small = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if big < 0.15 or big < 1.6 * small:
        return None
    if abs(dx) > abs(dy):
        return "left" if dx < 0 else "right"
    return "top" if dy < 0 else "bottom"


TEMPLATES = {
    "color": ["what color is the {s}", "what is the color of the {s}", "how is the {s} colored"],
    "shape": ["what shape is the {c} object", "what shape is {c}",
              "what shape is the {c} colored object", "which shape is colored {c}"],
    "where_s": ["where is the {s}"],
    "where_c": ["where is the {c} object"],
    "count": ["how many objects are there", "how many objects are in the picture"],
}


def ask(scene, rng, kind, target=None):
    """Draw one question of `kind`; returns (question, answer) or None.

    With `target`, the question is about that object (its shape, its colour or
    its place); a count is that of all objects.
    """
    objs = scene["objects"]
    shapes = [o["shape"] for o in objs]
    colors = [o["color"] for o in objs]
    ids = range(len(objs)) if target is None else [target]
    one_shape = [i for i in ids if shapes[i] >= 0 and shapes.count(shapes[i]) == 1]
    one_color = [i for i in ids if colors[i] >= 0 and colors.count(colors[i]) == 1]

    def pick(seq):
        return seq[int(rng.random() * len(seq))]

    def fill(key, i=None, s=None, c=None):
        s = shapes[i] if i is not None else s
        c = colors[i] if i is not None else c
        text = pick(TEMPLATES[key])
        return text.format(s=SHAPES[s] if s is not None else "",
                           p=PLURALS[s] if s is not None else "",
                           c=COLORS[c] if c is not None else "")

    if kind == "color":
        cand = [i for i in one_shape if colors[i] >= 0]
        if not cand:
            return None
        i = pick(cand)
        q, a = fill("color", i), COLORS[colors[i]]
    elif kind == "shape":
        cand = [i for i in one_color if shapes[i] >= 0]
        if not cand:
            return None
        i = pick(cand)
        q, a = fill("shape", i), SHAPES[shapes[i]]
    elif kind == "where":
        cand = [(i, "where_s") for i in one_shape] + [(i, "where_c") for i in one_color]
        cand = [(i, k) for i, k in cand if position_word(objs[i])]
        if not cand:
            return None
        i, key = pick(cand)
        q, a = fill(key, i), position_word(objs[i])
    else:
        q, a = fill("count"), str(len(objs))
    if rng.random() < 0.5:
        q += "?"
    return q, a


def word_list():
    """The WordPiece vocabulary, in file order."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    marks = list("!',-.?") + list("0123456789")
    letters = [chr(97 + k) for k in range(26)]
    words = ("the is are of in how many what which where there object color shape picture "
             "image a an and or on to it this that not yes no "
             "circle square star cross tri "
             "left right top bottom middle above below "
             ).split() + COLORS + ["white", "gray", "pink", "brown"]
    pieces = ["##s", "##es", "##ed", "##angle", "##ing", "##er", "##ly"]
    suffix = ["##" + c for c in letters if c != "s"]
    seen, out = set(), []
    for w in special + marks + letters + words + pieces + suffix:
        if w not in seen:
            seen.add(w)
            out.append(w)
    return out
