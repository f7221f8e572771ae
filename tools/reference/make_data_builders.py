"""Writes tests/data/study/builders.json: small data sets and the sample tables that `fovea data` makes of them.

A second implementation of the rules of docs/data.md, with its own copy of the word lists. A case has the builder's kind
and seed, the files of its folder (name to "good", "black", "broken" or "text"; good pictures differ), its tables as
text, the expected samples in order and the expected excluded. The test makes the files and compares.

Usage: make_data_builders.py [OUTPUT]
"""

import json
import pathlib
import sys

import numpy as np
from rapidfuzz import fuzz

OUTPUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/study/builders.json"
MASK = 2**64 - 1


class Stream:
    """The random stream of one sample."""

    def __init__(self, seed, name):
        fnv = 0xCBF29CE484222325
        for byte in name.encode():
            fnv = (fnv ^ byte) * 0x100000001B3 & MASK
        z = (seed + 0x9E3779B97F4A7C15 * fnv) & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        self.state = np.random.RandomState((z ^ z >> 31) & 0xFFFFFFFF)

    def choice(self, items):
        return items[int(self.state.randint(len(items)))]


REASONS = {
    "black": "the picture is black",
    "broken": "the picture cannot be decoded",
    "text": "the file is not called like a picture (.jpg, .png, .webp, ...)",
}

# ---- facial expressions ----

EMOTIONS = {"angry": "angry", "disgust": "disgusted", "fear": "fearful", "happy": "happy", "neutral": "neutral",
            "sad": "sad", "surprise": "surprised"}
CORES = {
    "angry": "envious grumpy jealous", "disgusted": "scornful uncomfortable",
    "fearful": "flustered horrified insecure overwhelmed stressed",
    "happy": "amused confident content giggly grateful hopeful pleased relaxed relieved satisfied",
    "neutral": "bored calm confused curious disoriented distracted puzzled restless shy sincere thoughtful apathetic "
               "sympathetic",
    "sad": "ashamed embarrassed lonely nostalgic guilty humiliated", "surprised": "awed shocked startled impressed",
}
assert sum(len(words.split()) for words in CORES.values()) == 43


def opposite(stream, adjective, other=None):
    happy = CORES["happy"].split()
    rest = [w for core in EMOTIONS.values() if core != "happy" for w in CORES[core].split()]
    while True:
        word = stream.choice(rest if adjective == "happy" else happy)
        if word != other:
            return word


def fer(files, seed):
    folders, excluded = {}, []
    for name in sorted({f.split("/")[0] for f in files}):
        if name not in EMOTIONS:
            excluded.append([name, "the folder is none of the seven emotions"])
    for emotion in EMOTIONS:
        folders[emotion] = []
        for f in sorted(f for f in files if f.startswith(emotion + "/")):
            if files[f] == "good":
                folders[emotion].append(f)
            else:
                excluded.append([f, REASONS[files[f]]])
    samples = []
    for emotion, pictures in folders.items():
        for picture in pictures:
            stream = Stream(seed, picture)
            wrong = stream.choice([e for e in EMOTIONS if e != emotion and folders[e]])
            first = int(stream.state.randint(2)) == 1
            other = stream.choice(folders[wrong])
            pair = [EMOTIONS[emotion], EMOTIONS[wrong]]
            named = pair if first else pair[::-1]
            a = opposite(stream, named[0])
            b = opposite(stream, named[1], a)
            samples.append({
                "sample": picture, "image": picture, "corrupt_image": other,
                "question": f"Is this person feeling {named[0]} or {named[1]}?",
                "corrupt_question": f"Is this person feeling {a} or {b}?",
                "correct": pair[0], "incorrect": pair[1], "group": pair[0], "label": pair[0],
                "correct_first": int(first),
            })
    return samples, excluded


# ---- MIT-States ----

STATES = {
    "shape": "small large thick thin coiled cracked folded sliced dented chipped shattered diced straight empty cut "
             "pressed torn broken tiny huge melted draped scratched".split(),
    "color": "caramelized painted bright dark unpainted engraved wet burnt weathered rusty old new dry verdant clean "
             "frozen thawed ancient moldy muddy fresh".split(),
    "texture": "crushed crumpled splintered wrinkled ruffled mossy molten windblown eroded pureed crinkled frayed brushed "
               "barren".split(),
}
assert [len(words) for words in STATES.values()] == [23, 21, 14]
NEAR = """small{tiny,little}; large{huge,massive,thick}; thick{large,huge,massive};
thin{slim}; cracked{broken,chipped,shattered,splintered}; sliced{diced}; diced{sliced}; chipped{broken,cracked,shattered,
splintered}; shattered{broken,cracked,chipped,splintered}; cut{torn}; torn{cut}; broken{cracked,chipped,shattered,splintered};
tiny{small,little}; huge{large,massive,thick}; scratched{cracked,chipped,shattered,broken,splintered}; wet{moist};
weathered{rusty,ancient,old}; rusty{ancient,weathered,old}; old{ancient,weathered,rusty}; new{fresh,clean}; clean{new,fresh};
ancient{old,weathered,rusty}; fresh{clean,new}; crushed{cracked,chipped,shattered,broken,splintered};
crumpled{wrinkled,crinkled}; splintered{cracked,chipped,shattered,broken,crushed}; wrinkled{crumpled,crinkled};
ruffled{frayed}; windblown{barren}; crinkled{crumpled,wrinkled}; frayed{ruffled}; barren{windblown}"""
NEAR = {entry.split("{")[0].strip(): "".join(entry.split("{")[1].rstrip("}").split()).split(",")
        for entry in NEAR.split(";")}
ADJECTIVES = [word for words in STATES.values() for word in words]


def replacement(stream, word, other=None):
    return stream.choice([w for w in ADJECTIVES if w not in (word, other) and w not in NEAR.get(word, [])])


def mit_states(files, seed):
    folders, excluded = {}, []
    for name in sorted({f.split("/")[0] for f in files}):
        adjective, _, noun = name.partition(" ")
        if not adjective or not noun:
            excluded.append([name, "the folder is not called ADJECTIVE NOUN"])
            continue
        folders[name] = []
        for f in sorted(f for f in files if f.startswith(name + "/")):
            if adjective not in ADJECTIVES:
                excluded.append([f, "the adjective is in no list"])
            elif files[f] != "good":
                excluded.append([f, REASONS[files[f]]])
            else:
                folders[name].append(f)
    samples = []
    for name, pictures in folders.items():
        adjective, _, noun = name.partition(" ")
        rivals = [other for other in folders if folders[other] and other.partition(" ")[2] == noun
                  and other.partition(" ")[0] not in [adjective, *NEAR.get(adjective, [])]]
        for picture in pictures:
            if not rivals:
                excluded.append([picture, "no other adjective has pictures of the noun"])
                continue
            stream = Stream(seed, picture)
            rival = stream.choice(rivals)
            first = int(stream.state.randint(2)) == 1
            other = stream.choice(folders[rival])
            pair = [adjective, rival.partition(" ")[0]]
            a, b = pair if first else pair[::-1]
            c = replacement(stream, a)
            d = replacement(stream, b, c)
            samples.append({
                "sample": picture, "image": picture, "corrupt_image": other, "question": f"Is this {noun} {a} or {b}?",
                "corrupt_question": f"Is this {noun} {c} or {d}?", "correct": pair[0], "incorrect": pair[1],
                "group": next(k for k, words in STATES.items() if adjective in words), "label": pair[0],
                "correct_first": int(first), "noun": noun,
            })
    used, kept = set(), []
    for s in samples:
        if s["corrupt_image"] in used:
            excluded.append([s["sample"], "the corrupted picture is another sample's already"])
        else:
            kept.append(s)
        used.add(s["corrupt_image"])
    return kept, excluded


# ---- SVO-Probes ----

SVO = """sentence,pos_triplet,neg_triplet,pos_url,neg_url,subj_neg,verb_neg,obj_neg
A man sits.,"man,sit,grass","man,stand,grass",http://x/1,http://x/2,False,True,False
A dog sits.,"['dog,sit,grass', 'dog,lie,grass']","cat,sit,grass",http://x/3,http://x/4,True,False,False
A man rides.,"man,ride,horse","man,ride,bike",http://x/1,http://x/5,False,False,True
Again.,"man,ride,horse","man,ride,bike",http://x/2,http://x/6,False,False,True
A person.,"person,ride,horse","man,ride,horse",http://x/1,http://x/5,True,False,False
Empty.,[],"man,ride,horse",http://x/1,http://x/5,True,False,False
Two places.,"dog,run,beach","cat,run,field",http://x/1,http://x/5,True,False,False
Same.,"dog,run,beach","dog,run,beach",http://x/1,http://x/5,True,False,False
Wrong flag.,"dog,run,beach","dog,run,field",http://x/1,http://x/5,True,False,False
Two words.,"dog,run","dog,run,field",http://x/1,http://x/5,True,False,False
Black.,"girl,run,beach","girl,walk,beach",http://x/1,http://x/black,False,True,False
Broken.,"girl,jump,beach","girl,walk,beach",http://x/broken,http://x/1,False,True,False
No file.,"girl,swim,beach","girl,walk,beach",http://x/1,http://x/gone,False,True,False
No URL.,"girl,dive,beach","girl,walk,beach",http://x/1,http://x/none,False,True,False
A boy holds.,"boy,hold,ball","boy,throw,ball",http://x/5,http://x/6,False,True,False
"""
MAP = ("http://x/1\t1.ppm\nhttp://x/2\t2.ppm\nhttp://x/3\t3.ppm\r\nhttp://x/4\t4.ppm\nhttp://x/5\t5.ppm\n\n"
       "http://x/6\t6.ppm\nhttp://x/black\tb.ppm\nhttp://x/broken\tx.ppm\nhttp://x/gone\tgone.ppm\n")
SVO_FILES = {"1.ppm": "good", "2.ppm": "good", "3.ppm": "good", "4.ppm": "good", "5.ppm": "good", "6.ppm": "good",
             "b.ppm": "black", "x.ppm": "broken"}
SVO_REASONS = {
    5: "another row has the same prompt", 6: "the prompt says \"person\"", 7: "a triplet is an empty list",
    8: "the triplets differ in several places", 9: "the triplets are the same",
    10: "subj_neg, verb_neg, obj_neg name another place than the triplets",
    11: "a triplet is not subject,verb,object", 12: "the picture is black", 13: "the picture cannot be decoded",
    14: "the picture does not exist", 15: "map.tsv does not have the picture's URL",
}
# line: slot, the row's triplets, its pictures
SVO_ROWS = {
    2: (1, "man,sit,grass", "man,stand,grass", 1, 2), 3: (0, "dog,sit,grass", "cat,sit,grass", 3, 4),
    4: (2, "man,ride,horse", "man,ride,bike", 1, 5), 16: (1, "boy,hold,ball", "boy,throw,ball", 5, 6),
}
# Of every row, with the first triplet of a list; "person" and what is not three words are left out.
SVO_WORDS = [
    sorted({"man", "dog", "cat", "girl", "boy"}),
    sorted({"sit", "stand", "ride", "run", "walk", "jump", "swim", "dive", "hold", "throw"}),
    sorted({"grass", "horse", "bike", "beach", "field", "ball"}),
]
PROMPTS = {
    "is man sit or stand grass?": "Is the man sitting or standing on the grass",
    "is dog or cat sit grass?": "Is a cat or dog sitting on the grass?",
    "is man ride horse or bike?": "Is the man riding a horse or a bike?",
    "is boy hold or throw ball?": "Does the boy hold a ball?",
}
PROMPT_REASONS = {line: "--prompts does not have the prompt" for line in range(12, 16)}
PROMPT_REASONS[16] = "the corrected prompt has no \"or\""
ING = {"ride": "riding", "run": "running", "sit": "sitting", "swim": "swimming", "dive": "diving"}


def skeleton(slot, pos, neg):
    words = list(pos)
    words[slot] = f"{pos[slot]} or {neg[slot]}"
    return f"is {' '.join(words)}?"


def svo_corrupt(seed, sample, prompt, slot, pos, neg):
    words = prompt.rstrip("?").split()
    middle = words.index("or")

    def find(word, used=None):
        scores = [(-fuzz.WRatio(word, w), abs(i - middle), i) for i, w in enumerate(words) if i not in (middle, used)]
        return min(scores)[2]

    at_pos = find(pos[slot])
    at_neg = find(neg[slot], at_pos)
    stream = Stream(seed, sample)
    allowed = [w for w in SVO_WORDS[slot] if w not in pos and w != neg[slot]]
    a = stream.choice(allowed)
    b = stream.choice([w for w in allowed if w != a])
    for at, own, new in ((at_pos, pos[slot], a), (at_neg, neg[slot], b)):
        words[at] = ING.get(new, new + "ing") if slot == 1 and words[at] != own and words[at].endswith("ing") else new
    return " ".join(words) + "?", int(at_pos < at_neg)


def svo(table, seed, prompts=None):
    samples, excluded, reasons = [], [], dict(SVO_REASONS)
    if prompts:
        reasons.update(PROMPT_REASONS)
    for line in range(2, 17):
        if line in reasons:
            excluded.append([f"{table} line {line}", reasons[line]])
            continue
        slot, pos, neg, *pictures = SVO_ROWS[line]
        text, pos, neg = (pos, neg), pos.split(","), neg.split(",")
        prompt = skeleton(slot, pos, neg)
        if prompts:
            prompt = prompts[prompt].rstrip("?") + "?"
        for k, (name, right, wrong) in enumerate((("pos", pos, neg), ("neg", neg, pos))):
            sample = f"{line - 2}/{name}"
            corrupt, pos_first = svo_corrupt(seed, sample, prompt, slot, pos, neg)
            samples.append({
                "sample": sample, "image": f"{pictures[k]}.ppm", "corrupt_image": f"{pictures[1 - k]}.ppm",
                "question": prompt, "corrupt_question": corrupt, "correct": right[slot], "incorrect": wrong[slot],
                "group": ("subj", "verb", "obj")[slot], "label": right[slot],
                "correct_first": pos_first if k == 0 else 1 - pos_first,
                "picture": ("positive", "negative")[k], "pos_triplet": text[0], "neg_triplet": text[1],
            })
    return samples, excluded


def main():
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    faces = {f"{e}/{i}.ppm": "good" for e in EMOTIONS for i in range(3)}
    faces |= {"happy/black.ppm": "black", "sad/broken.ppm": "broken", "sad/notes.txt": "text", "extra/1.ppm": "good"}
    few = {"happy/a.ppm": "good", "happy/b.ppm": "good", "angry/c.ppm": "good"}
    states = {f"{a} {n}/{i}.ppm": "good" for n in ("bike", "old town") for a in ("old", "new", "rusty", "wet", "broken")
              for i in range(4)}
    states |= {"crushed can/1.ppm": "good", "large can/1.ppm": "good", "huge can/1.ppm": "good", "ugly can/1.ppm": "good",
               "clean desk/1.ppm": "good", "new desk/1.ppm": "good", "new bike/b.ppm": "black",
               "wet bike/x.ppm": "broken", "readme/1.ppm": "good"}
    cases = []

    def case(kind, seed, files, tables, result, read, **more):
        cases.append({"kind": kind, "seed": seed, "files": files, "tables": tables, "samples": result[0],
                      "excluded": result[1], "read": read, **more})

    def count(files, *folders):
        return sum(f.split("/")[0] not in folders for f in files)

    case("fer", 0, faces, {}, fer(faces, 0), count(faces, "extra"))
    case("fer", 77, few, {}, fer(few, 77), 3)
    case("mit-states", 0, states, {}, mit_states(states, 0), count(states, "readme"))
    case("mit-states", 5, states, {}, mit_states(states, 5), count(states, "readme"))
    tables = {"svo.csv": SVO, "map.tsv": MAP}
    case("svo", 0, SVO_FILES, tables, svo("svo.csv", 0), 15, table="svo.csv")
    corrected = "prompt,corrected\n" + "".join(f'"{a}",{b}\n' for a, b in PROMPTS.items())
    case("svo", 3, SVO_FILES, {**tables, "p.csv": corrected}, svo("svo.csv", 3, PROMPTS), 15, table="svo.csv",
         prompts="p.csv")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print("numpy", np.__version__, [(c["kind"], len(c["samples"]), len(c["excluded"])) for c in cases])


if __name__ == "__main__":
    main()
