#!/usr/bin/env python3
"""Writes src/text/unicode_new.h: properties of characters newer than Unicode 14, measured on the tokenizers library.

usage: make_unicode_new.py > src/text/unicode_new.h && clang-format -i src/text/unicode_new.h

src/text/unicode.c asks ICU about characters up to Unicode 14. This script measures what the tokenizers library makes of
the characters that Python's unicodedata (14.0 in Python 3.11) leaves unassigned: which of them are word characters for
`single_word`, which are letters and numbers for regular expressions, and which have a lower case.
"""
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers

assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version


def new_characters():
    for code in range(0x80, 0x110000):
        if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) == "Cn":
            yield code


def ranges(codes):
    out = []
    for c in codes:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def word_characters(codes):
    t = Tokenizer(models.WordLevel({"?": 0, "X": 1}, unk_token="?"))
    t.add_tokens([AddedToken("X", single_word=True, normalized=False)])
    for i in range(0, len(codes), 4096):
        part = codes[i : i + 4096]
        for code, e in zip(part, t.encode_batch(["X" + chr(c) for c in part])):
            if len(e.ids) == 1:  # the token was not found: the character glues to it
                yield code


def of_class(codes, name):
    """The characters that the regular expression NAME (such as \\p{L}) matches."""
    removed = normalizers.Replace(Regex(name), "")
    return [c for c in codes if removed.normalize_str(chr(c)) == ""]


def lower_ranges(codes):
    lower = normalizers.Lowercase()
    out = []
    for c in codes:
        s = lower.normalize_str(chr(c))
        if s == chr(c):
            continue
        assert len(s) == 1, hex(c)
        shift = ord(s) - c
        if out and out[-1][1] == c - 1 and out[-1][2] == shift:
            out[-1][1] = c
        else:
            out.append([c, c, shift])
    return out


def main():
    codes = list(new_characters())
    print("/* Characters that Unicode 14 does not have. Written by tools/reference/make_unicode_new.py from tokenizers")
    print(f" * {tokenizers.__version__}; do not edit. */")
    print("#ifndef FOVEA_TEXT_UNICODE_NEW_H\n#define FOVEA_TEXT_UNICODE_NEW_H\n\n#include <stdint.h>\n")
    print("enum { FV_UNICODE_NEW_AFTER = 14 };\n")
    print("/* Word characters: first and last of each range. */")
    print("static const uint32_t word_new[][2] = {")
    for a, b in ranges(word_characters(codes)):
        print(f"    {{0x{a:X}, 0x{b:X}}},")
    for name, what, title in (("letter_new", r"\p{L}", "Letters"), ("number_new", r"\p{N}", "Numbers")):
        print(f"}};\n\n/* {title}. */\nstatic const uint32_t {name}[][2] = {{")
        for a, b in ranges(of_class(codes, what)):
            print(f"    {{0x{a:X}, 0x{b:X}}},")
    print("};\n\n/* Upper case characters and what to add for the lower case. */")
    print("static const struct {\n  uint32_t first, last;\n  int32_t shift;\n} lower_new[] = {")
    for a, b, shift in lower_ranges(codes):
        print(f"    {{0x{a:X}, 0x{b:X}, {shift}}},")
    print("};\n\n#endif")
    print(f"tokenizers {tokenizers.__version__}, Python {sys.version.split()[0]}", file=sys.stderr)


main()
