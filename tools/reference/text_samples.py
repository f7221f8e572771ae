"""Strings on which tokenizers are compared: real sentences, edge cases, random mixes, every code point."""
import random
import unicodedata

SENTENCES = [
    "What color is the shirt of the man on the left?",
    "How many people are standing near the river, and what are they doing?",
    "Is there a fire-hydrant (red/yellow) next to the curb? I don't think so.",
    "the man's 2 dogs aren't sleeping; they've been running since 10:45 a.m.!",
    "E-mail: someone@example.com, URL: https://example.org/path?x=1&y=2#frag",
    "Is this photo taken at night? yes / no",
    "Où est le garçon à côté de l'église ? Il mange une crème brûlée.",
    "Der Fußgänger überquert die Straße in München; es ist 8½ Uhr.",
    "¿Cuántos niños hay en la montaña? ¡Qué pingüino más pequeño!",
    "Žluťoučký kůň úpěl ďábelské ódy. Zażółć gęślą jaźń. Đặng Tiến Đông ở Hà Nội.",
    "İstanbul'da IĞDIR ışık, ılık süt; ŞEKER. Ǆ ǅ ǆ ſ ẞ ß ﬀ ﬁ",
    "Какого цвета рубашка у человека слева? Ёлка, йод, щука.",
    "Τι χρώμα έχει το πουκάμισο; ΟΔΥΣΣΕΥΣ Σίσυφος ΑΣ",
    "左边的男人穿的衬衫是什么颜色？有3个人在河边。",
    "左の男の人のシャツは何色ですか？ガギグゲゴ ｶﾞｷﾞ パピプ",
    "왼쪽에 있는 남자의 셔츠는 무슨 색입니까? 각 갂 힣",
    "ما لون قميص الرجل على اليسار؟ مُحَمَّد ٱلْقُرْآن لا",
    "מה צבע החולצה של האיש משמאל? שָׁלוֹם",
    "बायीं ओर वाले आदमी की कमीज़ किस रंग की है? क़ ड़ ढ़",
    "เสื้อของผู้ชายทางซ้ายสีอะไร น้ำ กำ",
    "বাম দিকের মানুষটির শার্টের রঙ কী? তেলুগు తెలుగు தமிழ்",
    "😀 I love it 👍🏽 👨‍👩‍👧‍👦 🇨🇭🏳️‍🌈 ❤️ 1️⃣ ☺︎",
    "math: ∑ x² ≤ √2 ≠ ½; H₂O → CO₂; 5×3=15; 20°C; €5, £3, ¥100, ₿1",
    "quotes “curly” ‘single’ «guillemets» „low“ — em–en…dots · ‹x› ¶ § †",
    "code: if (a[i] != b->c && !d) { return ~x ^ y | z; } // `tick` $var @x #y %z",
]

WORDS = """the a man woman dog cat running playing street shirt color red blue green standing person table plate pizza
train bus sign umbrella tennis ball kitchen bathroom what where how many is are there this that not n't 's 've 're
unbelievable internationalization antidisestablishmentarianism CAPITALS MiXeD naïve café résumé Zürich ångström
2 17 1984 3.14 1,000 x86-64 don't can't it's I'm we've they're""".split()

SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u2029", "\u205f", "\u1680", "\u202f",
          "\u000b", "\u000c", "\u0085", "\u200b", "\u180e", "\ufeff"]
CONTROLS = ["\u0000", "\u0001", "\u0007", "\u001b", "\u001f", "\u007f", "\u0080", "\u009f", "\u00ad", "\u0600", "\u061c",
            "\u200c", "\u200d", "\u200e", "\u202a", "\u2060", "\u2066", "\ufff9", "\ufffd", "\ue000", "\U000f0000",
            "\U0010fffd", "\U000e0001", "\ufffe", "\uffff", "\u0378", "\U0001f9ff", "\U000e007f", "\U000110bd"]
SCRIPTS = [(0x21, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F),
           (0x590, 0x5FF), (0x600, 0x6FF), (0x700, 0x8FF), (0x900, 0xDFF), (0xE00, 0xEFF), (0xF00, 0xFFF),
           (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x13FF), (0x1400, 0x167F),
           (0x1780, 0x17FF), (0x1800, 0x18AF), (0x1C80, 0x1CFF), (0x1D00, 0x1DFF), (0x1E00, 0x1FFF), (0x2000, 0x206F),
           (0x2070, 0x218F), (0x2190, 0x2BFF), (0x2C00, 0x2DFF), (0x2E00, 0x2E7F), (0x3000, 0x303F), (0x3040, 0x30FF),
           (0x3400, 0x3410), (0x4E00, 0x9FFF), (0xA490, 0xA8FF), (0xA9BC, 0xA9BE), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
           (0xFB00, 0xFB4F), (0xFB50, 0xFEFC), (0xFE00, 0xFE6F), (0xFF00, 0xFFEF), (0x10400, 0x104FF),
           (0x10D50, 0x10D85), (0x11000, 0x11FFF), (0x16EA0, 0x16ED8), (0x1D150, 0x1D1AA), (0x1D400, 0x1D7FF),
           (0x1E900, 0x1E95F), (0x1F000, 0x1FAFF), (0x20000, 0x20010), (0x2B73E, 0x2B742), (0x2B81E, 0x2B822),
           (0x2B91E, 0x2B922), (0x2CEAE, 0x2CEB2), (0x2EBF0, 0x2EBF4), (0x2F800, 0x2FA1F), (0x30000, 0x30004)]

EDGES = [
    "", " ", "\t\n\r ", "\u0000", "a\u0000b", "\u0000a", "a\u0000", "\ufffd", "\ufeffabc", "a\u200bb", "a\u00adb",
    "a\u0085b", "a\u000bb", "a\u2028b", "a\u3000b", "a\u00a0b", "a\ue000b", "a\u0378b", "a\U00101234b",
    "a" * 99, "a" * 100, "a" * 101, "é" * 100, "é" * 101, "e\u0301" * 100, "e\u0301" * 101, "中" * 101, "a" * 5000,
    "🙂" * 100, "🙂" * 101, "." * 150, "a." * 80, "##ing", "## ing", "#", "##", "un##able", "[CLS]", "[cls]", "[CLS]]",
    "[[CLS]", "[ CLS ]", "[MASK].", "a[MASK]b", "[MASK][MASK]", " [MASK] ", "[PAD][UNK][SEP]", "[unused5]", "[MASK",
    "MASK]", "don't", "do not", "I'm we've they're he's isn't '", "a ' b", "'", "''", "Hello , world ! ? .", "a.b,c",
    "U.S.A.", "ΑΣ ΣΑΣ Σ", "İ", "I\u0307", "ǅ", "ẞ", "ŉ", "\u0130\u0131", "\u212b\u2126\u212a", "\u1e9b\u0323", "\u0344",
    "\u0f73\u0f75\u0f81", "a\u0315\u0300\u05ae\u0301b", "a\u302f\u0301\u302eb", "\U0001d165\U0001d16e\U0001d165",
    "\u0b47\u0b56\u0b3e", "\uac00\u11a8", "\u1100\u1161\u11a8", "각", "\ufb1d\ufb1f", "\ufb2c", "\u0958", "\u2adc",
    "\uf900\ufa0e", "\U0002f800", "\u166d a\u166db", "\u1734a", "\u1885a\u1886", "\ua9bda", "\U000111c9a",
    "x\U00011938y", "\U000105c9\U00016121", "\u0300\u0301abc", "a" + "\u0301" * 500 + "b", "\u0301", "\u0591\u0301",
    "a" + "\u0315\u0300" * 60 + "b", "q\u0307\u0323" * 30, "…", "‥", "⁇", "①", "ﬃ", "㎏", "²³", "½", "™", "ª º",
]


def random_text(rng, added):
    """One string of a few random parts."""
    out = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.35:
            out.append(rng.choice(WORDS))
        elif kind < 0.55:
            lo, hi = rng.choice(SCRIPTS)
            for _ in range(rng.randint(1, 6)):
                out.append(chr(rng.randint(lo, hi)))
        elif kind < 0.62:
            out.append(rng.choice(CONTROLS))
        elif kind < 0.70:
            word = rng.choice(WORDS)
            at = rng.randint(0, len(word))
            marks = "".join(chr(rng.choice([0x300, 0x301, 0x308, 0x323, 0x327, 0x338, 0x345, 0x20D0, 0x302E, 0x5B0, 0x94D]))
                            for _ in range(rng.randint(1, 4)))
            out.append(word[:at] + marks + word[at:])
        elif kind < 0.80 and added:
            out.append(rng.choice(added))
        elif kind < 0.86:
            out.append(unicodedata.normalize(rng.choice(["NFC", "NFD"]), rng.choice(SENTENCES))[: rng.randint(1, 40)])
        elif kind < 0.89:
            out.append(rng.choice("aéß中Жع한") * rng.choice([2, 50, 99, 100, 101, 130]))
        elif kind < 0.94:
            out.append("".join(chr(rng.randint(33, 126)) for _ in range(rng.randint(1, 8))))
        else:
            code = rng.randrange(0x110000 - 0x800)
            out.append(chr(code if code < 0xD800 else code + 0x800))
        if rng.random() < 0.6:
            out.append(rng.choice(SPACES) if rng.random() < 0.3 else " ")
    return "".join(out)


def random_texts(seed, count, added):
    rng = random.Random(seed)
    return [random_text(rng, added) for _ in range(count)]


def every_code_point(step=32):
    """Strings that hold every code point but the surrogates, each as aXb, `step` of them per string."""
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for i in range(0, len(codes), step):
        yield " ".join("a" + chr(c) + "b" for c in codes[i : i + step])
