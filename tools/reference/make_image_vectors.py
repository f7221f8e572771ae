#!/usr/bin/env python3
"""Writes tests/data/image: small pictures of every kind with Pillow's RGB bytes, resized and blurred pictures, and
pixel values of the Pillow-based image processors of transformers.

    make_image_vectors.py DIR           writes everything (needs transformers, and cjpeg and jpegtran of libjpeg-turbo)
    make_image_vectors.py --check DIR   compares the resized pictures in DIR with the running Pillow, each Pillow with
                                        the pass order that it should have (needs only Pillow and numpy)

Files: pictures/* with pictures.txt (NAME EXIF WIDTH HEIGHT per line; EXIF is 1 when the expected picture has its
orientation applied) and pictures.bin (the RGB bytes one after another); resize.txt and .bin; blur.txt and .bin;
preprocess/CASE.json with preprocess.txt and .bin. Pictures given as "SEED KIND WIDTH HEIGHT" are made by source().
"""
import hashlib
import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageFilter, ImageOps

warnings.simplefilter("ignore")


def source(seed, kind, w, h):
    """Noise (kind 0), stripes of 0 and 255 (kind 1) or a ramp (kind 2); tests/image/vectors.h makes the same."""
    n = np.arange(w * h * 3, dtype=np.uint64)
    if kind == 2:
        x, y, c = n // 3 % w, n // 3 // w, n % 3
        return ((x * 7 + y * 3 + c * 50 + seed) & 255).astype(np.uint8).reshape(h, w, 3)
    v = (n + seed * 0x9E3779B9) & 0xFFFFFFFF
    v ^= v >> 16
    v = v * 0x7FEB352D & 0xFFFFFFFF
    v ^= v >> 15
    v = v * 0x846CA68B & 0xFFFFFFFF
    v ^= v >> 16
    b = (v & 255) if kind == 0 else (v & 1) * 255
    return b.astype(np.uint8).reshape(h, w, 3)


# ---------------------------------------------------------------- PNG, written by hand to reach every form

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(w, h, depth, color, interlace=0, before=(), after=(), palette=None, limit=None, seed=1):
    rng = random.Random(seed * 1000 + depth * 100 + color * 10 + interlace)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    passes = [(0, 0, 1, 1)]
    if interlace:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x0, y0, dx, dy in passes:
        pw, ph = max(0, -(-(w - x0) // dx)), max(0, -(-(h - y0) // dy))
        if not pw:
            continue
        for _ in range(ph):
            row = bytearray(rng.randbytes((pw * channels * depth + 7) // 8))
            if color == 0 and depth == 16:  # mostly small values, as a picture clipped at 255 would have
                row = bytearray(b for _ in range(pw) for b in (rng.choice([0, 0, 0, 1, 255]), rng.randrange(256)))
            if limit:
                row = bytearray(b % limit for b in row)
            raw += bytes([0 if limit else rng.randrange(5)]) + bytes(row)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlace))
    for kind, data in before:
        out += chunk(kind, data)
    if color == 3:
        out += chunk(b"PLTE", palette if palette is not None else rng.randbytes(3 << depth))
    for kind, data in after:
        out += chunk(kind, data)
    z = zlib.compress(raw)
    return out + chunk(b"IDAT", z[: len(z) // 2]) + chunk(b"IDAT", z[len(z) // 2 :]) + chunk(b"IEND", b"")


def tiff(value, big, kind=3):
    e = ">" if big else "<"
    field = struct.pack(e + ("HH" if kind == 3 else "I"), *([value, 0] if kind == 3 else [value]))
    other = struct.pack(e + "HHI4s", 0x0110, 2, 2, b"x\0\0\0")
    return (b"MM" if big else b"II") + struct.pack(e + "HI", 42, 8) + struct.pack(e + "H", 2) + other + struct.pack(
        e + "HHI", 0x0112, kind, 1) + field + b"\0\0\0\0"


def xmp(value, attribute):
    inner = f'<d tiff:Orientation="{value}"/>' if attribute else f"<d><tiff:Orientation>{value}</tiff:Orientation></d>"
    return ('<x:xmpmeta xmlns:x="adobe:ns:meta/">' + inner + "</x:xmpmeta>").encode()


def png_pictures():
    forms = [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (2, 3), (4, 3), (8, 3), (8, 4), (16, 4),
             (8, 6), (16, 6)]
    for depth, color in forms:
        for interlace in (0, 1):
            yield f"png_{color}_{depth}_{interlace}.png", png(13, 9, depth, color, interlace)
    for w, h in ((1, 1), (3, 2), (2, 5)):
        yield f"png_adam7_{w}x{h}.png", png(w, h, 8, 2, 1)
        yield f"png_adam7_bits_{w}x{h}.png", png(w, h, 1, 0, 1)
    yield "png_trns_palette.png", png(9, 5, 8, 3, after=[(b"tRNS", bytes(range(256)))])
    yield "png_trns_palette_one.png", png(9, 5, 2, 3, after=[(b"tRNS", b"\xff\0\xff")])
    yield "png_trns_gray.png", png(9, 5, 8, 0, before=[(b"tRNS", b"\0\x40")])
    yield "png_trns_gray2.png", png(9, 5, 2, 0, before=[(b"tRNS", b"\0\x01")])
    yield "png_trns_rgb.png", png(9, 5, 8, 2, before=[(b"tRNS", b"\0\x10\0\x20\0\x30")])
    yield "png_trns_gray16.png", png(9, 5, 16, 0, before=[(b"tRNS", b"\0\x40")])
    yield "png_short_palette.png", png(9, 5, 8, 3, palette=bytes(range(40, 70)), limit=20)
    yield "png_short_palette4.png", png(9, 5, 4, 3, palette=bytes(range(90, 120)))
    meta = [(b"gAMA", struct.pack(">I", 100000)), (b"cHRM", struct.pack(">8I", *[31270, 32900] * 4)),
            (b"sBIT", b"\5\6\5"), (b"pHYs", struct.pack(">IIB", 1, 2, 0)), (b"tEXt", b"Comment\0hello"),
            (b"cICP", b"\x09\x10\0\1"), (b"prVt", b"private")]
    yield "png_metadata.png", png(7, 4, 8, 2, before=meta)
    yield "png_bad_profile.png", png(7, 4, 8, 2, before=[(b"iCCP", b"x\0\0" + b"not zlib")])
    yield "png_srgb.png", png(7, 4, 8, 6, before=[(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))])
    yield "png_exif.png", png(5, 3, 8, 2, before=[(b"eXIf", tiff(6, True))])
    yield "png_exif_late.png", png(5, 3, 8, 2)[:-12] + chunk(b"eXIf", tiff(8, False)) + chunk(b"IEND", b"")
    yield "png_xmp.png", png(5, 3, 8, 2, before=[(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(3, True))])
    block = b"Exif\0\0" + tiff(5, True)
    profile = f"\nexif\n{len(block):8}\n{block.hex()[:72]}\n{block.hex()[72:]}\n".encode()
    yield "png_raw_profile.png", png(5, 3, 8, 2, before=[(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))])
    frames = [Image.fromarray(source(s, 0, 6, 4)) for s in (1, 2, 3)]
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    yield "png_animation.png", out.getvalue()
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:], default_image=True)
    yield "png_animation_default.png", out.getvalue()
    yield "png_trailing.png", png(5, 3, 8, 2) + b"after the end"


# ---------------------------------------------------------------- JPEG

def run(command, data):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def ppm(a):
    return b"P6\n%d %d\n255\n" % (a.shape[1], a.shape[0]) + a.tobytes()


def soft(w, h, seed=3):
    """A picture that JPEG keeps some detail of."""
    return np.asarray(Image.fromarray(source(seed, 0, (w + 3) // 4, (h + 3) // 4)).resize((w, h), Image.BILINEAR))


def pil_jpeg(im, **options):
    out = io.BytesIO()
    im.save(out, "JPEG", **options)
    return out.getvalue()


def segments(data):
    """Markers before the first scan as (marker, payload), and the rest from SOS on."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        n = struct.unpack(">H", data[at + 2 : at + 4])[0]
        found.append((data[at + 1], data[at + 4 : at + 2 + n]))
        at += 2 + n
    return found, data[at:]


def join(found, rest):
    return b"\xff\xd8" + b"".join(b"\xff%c" % m + struct.pack(">H", len(p) + 2) + p for m, p in found) + rest


def with_exif(data, block, prefix=b"Exif\0\0"):
    found, rest = segments(data)
    return join(found[:1] + [(0xE1, prefix + block)] + found[1:], rest)


def cmyk_variants():
    rng = np.random.RandomState(5)
    small = Image.merge("CMYK", [Image.fromarray(rng.randint(0, 256, (3, 5)).astype(np.uint8)).resize((21, 13), Image.BICUBIC)
                                 for _ in range(4)])
    data = pil_jpeg(small, quality=90)
    found, rest = segments(data)
    yield "jpeg_cmyk.jpg", data
    yield "jpeg_cmyk_progressive.jpg", pil_jpeg(small, quality=70, progressive=True)
    yield "jpeg_cmyk_no_adobe.jpg", join([s for s in found if s[0] != 0xEE], rest)
    ycck = [(m, p[:11] + b"\2" + p[12:] if m == 0xEE else p) for m, p in found]
    assert any(m == 0xEE for m, _ in found)
    yield "jpeg_ycck.jpg", join(ycck, rest)
    yield "jpeg_ycck_arithmetic.jpg", run(["jpegtran", "-arithmetic"], join(ycck, rest))


def jpeg_pictures():
    a = soft(37, 27)
    im = Image.fromarray(a)
    for sub in (0, 1, 2):
        yield f"jpeg_sub{sub}.jpg", pil_jpeg(im, quality=85, subsampling=sub)
        yield f"jpeg_sub{sub}_progressive.jpg", pil_jpeg(im, quality=60, subsampling=sub, progressive=True)
    for sample in ("4x1", "1x2", "1x4", "4x2", "2x2,1x2,2x1", "2x1,1x1,2x1", "1x1,2x2,2x2"):
        name = sample.replace(",", "_")
        yield f"jpeg_sample_{name}.jpg", run(["cjpeg", "-quality", "80", "-sample", sample], ppm(a))
    for side in ((1, 1), (2, 3), (8, 8), (9, 17), (16, 1)):
        yield f"jpeg_{side[0]}x{side[1]}.jpg", pil_jpeg(Image.fromarray(soft(*side)), quality=90)
    yield "jpeg_gray.jpg", pil_jpeg(im.convert("L"), quality=80)
    yield "jpeg_gray_progressive.jpg", pil_jpeg(im.convert("L"), quality=80, progressive=True)
    yield "jpeg_rgb.jpg", pil_jpeg(im, quality=80, keep_rgb=True)
    yield "jpeg_arithmetic.jpg", run(["cjpeg", "-arithmetic", "-quality", "75"], ppm(a))
    yield "jpeg_arithmetic_progressive.jpg", run(["cjpeg", "-arithmetic", "-progressive", "-quality", "75"], ppm(a))
    yield "jpeg_restart.jpg", run(["cjpeg", "-restart", "1B", "-quality", "75"], ppm(a))
    yield "jpeg_restart_progressive.jpg", run(["cjpeg", "-restart", "3B", "-progressive", "-quality", "75"], ppm(a))
    yield "jpeg_low_quality.jpg", run(["cjpeg", "-quality", "3", "-baseline"], ppm(a))
    yield "jpeg_16bit_tables.jpg", run(["cjpeg", "-quality", "2"], ppm(a))
    yield from cmyk_variants()
    base = pil_jpeg(Image.fromarray(soft(11, 7)), quality=90)
    found, rest = segments(base)
    yield "jpeg_no_jfif.jpg", join([s for s in found if s[0] != 0xE0], rest)
    yield "jpeg_fill_bytes.jpg", base[:2] + b"\xff\xff" + base[2:-2] + b"\xff\xff\xff\xd9"
    yield "jpeg_stray_bytes.jpg", base[:-2] + b"\x11\x22\xff\xd9"
    yield "jpeg_trailing.jpg", base + b"after the end"
    for value in range(1, 9):
        yield f"jpeg_exif{value}.jpg", with_exif(base, tiff(value, value % 2 == 0, 3 if value < 6 else 4))
    yield "jpeg_exif9.jpg", with_exif(base, tiff(9, False))
    yield "jpeg_exif_none.jpg", with_exif(base, tiff(6, False).replace(b"\x12\x01", b"\x13\x01"))
    block = tiff(6, True)
    yield "jpeg_exif_split.jpg", with_exif(with_exif(base, block[20:]), block[:20])
    for attribute in (0, 1):
        yield f"jpeg_xmp{attribute}.jpg", with_exif(base, xmp(7, attribute), b"http://ns.adobe.com/xap/1.0/\0")


# ---------------------------------------------------------------- WebP and PNM

def webp_pictures():
    def save(im, **options):
        out = io.BytesIO()
        im.save(out, "WEBP", **options)
        return out.getvalue()

    im = Image.fromarray(soft(23, 14))
    alpha = Image.fromarray(np.dstack([soft(23, 14), source(8, 0, 23, 14)[..., 0]]))
    yield "webp_lossy.webp", save(im, quality=70)
    yield "webp_lossy_1x1.webp", save(im.crop((0, 0, 1, 1)), quality=70)
    yield "webp_lossless.webp", save(im, lossless=True)
    yield "webp_lossy_alpha.webp", save(alpha, quality=80)
    yield "webp_lossless_alpha.webp", save(alpha, lossless=True)
    yield "webp_lossless_exact.webp", save(alpha, lossless=True, exact=True)
    frames = [Image.fromarray(np.dstack([source(s, 0, 8, 6), source(s + 9, 1, 8, 6)[..., 0]])) for s in (1, 2, 3)]
    yield "webp_animation.webp", save(frames[0], save_all=True, append_images=frames[1:], duration=50, lossless=True)
    first = Image.new("RGBA", (12, 10))
    first.paste(frames[0].convert("RGB"), (3, 2))
    yield "webp_animation_part.webp", save(first, save_all=True, append_images=frames[1:1] + [first.rotate(180)],
                                           duration=50, background=(200, 10, 20, 255))
    for value in (2, 6):
        yield f"webp_exif{value}.webp", save(im, quality=50, exif=b"Exif\0\0" + tiff(value, False))
    yield "webp_xmp.webp", save(im, quality=50, xmp=xmp(8, True))


def pnm_pictures():
    rng = random.Random(7)
    w, h = 11, 5

    def plain(kind, values, maximum=None, width=w):
        head = f"P{kind}\n# a comment\n{width} {h} # another\n" + (f"{maximum}\n" if maximum else "")
        return (head + "".join(f"{v}" + rng.choice([" ", "\n", "\t ", " # c 9\n", "\r\n"]) for v in values)).encode()

    bits = [rng.randrange(2) for _ in range(w * h)]
    yield "pnm_p1.pbm", plain(1, bits)
    yield "pnm_p1_dense.pbm", f"P1 {w} {h} ".encode() + "".join(map(str, bits)).encode()
    yield "pnm_p4.pbm", b"P4 11 5\n" + rng.randbytes(2 * 5)
    for maximum in (1, 3, 7, 100, 254, 255, 256, 300, 1023, 4095, 65534, 65535):
        gray = [rng.randrange(maximum + 1) for _ in range(w * h)]
        if maximum > 300:
            gray[::2] = [v % 400 for v in gray[::2]]
        color = [rng.randrange(maximum + 1) for _ in range(w * h * 3)]
        pack = (lambda v: bytes(v)) if maximum < 256 else (lambda v: struct.pack(f">{len(v)}H", *v))
        yield f"pnm_p2_{maximum}.pgm", plain(2, gray, maximum)
        yield f"pnm_p3_{maximum}.ppm", plain(3, color, maximum)
        yield f"pnm_p5_{maximum}.pgm", f"P5\n{w} {h}\n{maximum}\n".encode() + pack(gray)
        yield f"pnm_p6_{maximum}.ppm", f"P6\t{w}\n{h} {maximum} ".encode() + pack(color)
    over = [rng.randrange(256) for _ in range(w * h)]
    yield "pnm_p5_over.pgm", f"P5 {w} {h} 99\n".encode() + bytes(over)
    yield "pnm_comment_in_number.ppm", b"P6 1#one\n1 5 # two\n 2#three\n55\n" + rng.randbytes(11 * 5 * 3)
    yield "pnm_trailing.ppm", b"P6 2 1 255\n" + rng.randbytes(6) + b"after the end"


def write_pictures(folder):
    os.makedirs(folder + "/pictures")
    lines, blob = [], b""
    for maker in (png_pictures, jpeg_pictures, webp_pictures, pnm_pictures):
        for name, data in maker():
            with open(f"{folder}/pictures/{name}", "wb") as f:
                f.write(data)
            plain = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            versions = [(0, plain)]
            if "exif" in name or "xmp" in name or "raw_profile" in name:
                versions.append((1, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))))
            for exif, a in versions:
                lines.append(f"{name} {exif} {a.shape[1]} {a.shape[0]}\n")
                blob += a.tobytes()
    save(folder, "pictures", lines, blob)


# ---------------------------------------------------------------- resize, blur

def vertical_first(order, iw, ih, ow, oh):
    if order == 0:
        return ih > oh and ih - oh > 2 * (iw - ow)
    return order == 1 and ih > oh and ih > 100 * iw


def resize(im, ow, oh, resample, order):
    """One axis at a time, where every Pillow does the same; the middle picture is bytes in all of them."""
    if resample == 0:
        return im.resize((ow, oh), 0)
    sizes = [(im.width, oh), (ow, oh)] if vertical_first(order, *im.size, ow, oh) else [(ow, im.height), (ow, oh)]
    for size in sizes:
        im = im.resize(size, resample)
    return im


def resize_cases():
    shapes = [(5, 4, 3, 3), (5, 4, 7, 6), (40, 30, 16, 16), (30, 40, 16, 16), (30, 41, 19, 21), (1, 1, 3, 2), (7, 1, 1, 9),
              (2, 250, 11, 9), (2, 150, 3, 100), (33, 9, 33, 4), (9, 33, 4, 33), (9, 8, 9, 8), (13, 17, 24, 24),
              (64, 64, 10, 12), (17, 40, 20, 7)]
    for i, (iw, ih, ow, oh) in enumerate(shapes):
        for resample in range(6):
            yield i + 1, i % 2 if i < 12 else 2, iw, ih, ow, oh, resample, 0
        for order in (1, 2):
            yield i + 1, 1, iw, ih, ow, oh, 3, order
            yield i + 1, 0, iw, ih, ow, oh, 2, order


def write_resize(folder):
    lines, blob = [], b""
    for case in resize_cases():
        seed, kind, iw, ih, ow, oh, resample, order = case
        a = np.asarray(resize(Image.fromarray(source(seed, kind, iw, ih)), ow, oh, resample, order))
        if order == 0 and PIL.__version__.startswith("13."):
            assert (a == np.asarray(Image.fromarray(source(seed, kind, iw, ih)).resize((ow, oh), resample))).all(), case
        lines.append(" ".join(map(str, case)) + "\n")
        blob += a.tobytes()
    save(folder, "resize", lines, blob)


def check_resize(folder):
    version = tuple(map(int, PIL.__version__.split(".")[:2]))
    mine = 0 if version >= (13, 0) else 1 if version >= (12, 2) else 2
    blob, at, checked = open(folder + "/resize.bin", "rb").read(), 0, 0
    for line in open(folder + "/resize.txt"):
        seed, kind, iw, ih, ow, oh, resample, order = map(int, line.split())
        n = ow * oh * 3
        if order == mine or resample == 0 or iw == ow or ih == oh:
            a = Image.fromarray(source(seed, kind, iw, ih)).resize((ow, oh), resample)
            assert np.asarray(a).tobytes() == blob[at : at + n], line
            checked += 1
        at += n
    print(f"Pillow {PIL.__version__}: {checked} resized pictures agree (order {mine})")


def write_blur(folder):
    lines, blob = [], b""
    for i, sigma in enumerate([0, 0.001, 0.3, 0.5, 0.9, 1, 1.5, 2, 2.7, 3.3, 5, 8.25, 20, 100, 1000]):
        for w, h in ((19, 13), (1, 7), (6, 1), (3, 3)):
            a = np.asarray(Image.fromarray(source(i, i % 2, w, h)).filter(ImageFilter.GaussianBlur(sigma)))
            lines.append(f"{i} {i % 2} {w} {h} {sigma}\n")
            blob += a.tobytes()
    save(folder, "blur", lines, blob)


# ---------------------------------------------------------------- processors

def processor_cases():
    clip = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
    blip = {"image_processor_type": "BlipImageProcessor", "do_resize": True, "do_rescale": True, "do_normalize": True,
            "rescale_factor": 0.00392156862745098, "resample": 3, **clip}
    yield "blip", {**blip, "size": {"height": 24, "width": 24}}, [(40, 30), (30, 47), (24, 24), (7, 90), (3, 1), (1, 3)]
    yield "blip_oblong", {**blip, "size": {"height": 12, "width": 20}, "resample": 1}, [(40, 30)]
    yield "clip_int", {"feature_extractor_type": "CLIPFeatureExtractor", "size": 16, "crop_size": 16, "resample": 3,
                       "do_center_crop": True, "do_normalize": True, "do_resize": True, **clip}, [
                           (40, 30), (31, 64), (16, 16), (17, 90), (11, 7)]
    yield "clip_pads", {"image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 13},
                        "crop_size": {"height": 18, "width": 15}}, [(40, 30), (31, 64), (13, 13), (20, 20)]
    yield "clip_no_resize", {"image_processor_type": "CLIPImageProcessor", "do_resize": False, "crop_size": 12}, [
        (9, 9), (13, 7), (7, 14), (12, 12), (21, 20)]
    yield "llava", {"image_processor_type": "LlavaImageProcessor", "size": {"shortest_edge": 18}, "do_pad": False,
                    "crop_size": {"height": 18, "width": 18}}, [(40, 30), (18, 29)]
    yield "vit", {"image_processor_type": "ViTFeatureExtractor", "size": 20, "resample": 2, "do_normalize": True,
                  "do_resize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}, [(40, 30), (11, 64)]
    yield "vit_list", {"image_processor_type": "ViTImageProcessorPil", "size": [14, 18], "image_mean": 0.4,
                       "image_std": 0.3}, [(40, 30)]
    yield "vit_edge", {"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 10}, "resample": 0}, [(33, 21)]
    yield "deit", {"image_processor_type": "DeiTImageProcessor", "size": 20, "crop_size": 17}, [(40, 30), (21, 33)]
    yield "rescale_only", {"image_processor_type": "BlipImageProcessor", "size": 9, "do_normalize": False,
                           "rescale_factor": 0.0123}, [(16, 16)]
    yield "normalize_only", {"image_processor_type": "BlipImageProcessor", "size": 9, "do_rescale": False,
                             "image_mean": [1, 2, 3.7], "image_std": [0.1, 100, 7]}, [(16, 16)]
    yield "blip_default", {"image_processor_type": "BlipImageProcessor"}, [(500, 333), (333, 512)]
    yield "clip_default", {"image_processor_type": "CLIPImageProcessor"}, [(333, 501)]
    yield "clip336", {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 336},
                      "crop_size": {"height": 336, "width": 336}}, [(640, 427), (427, 640), (300, 299)]
    yield "vit_default", {"image_processor_type": "ViTImageProcessor"}, [(256, 300)]
    yield "deit_default", {"image_processor_type": "DeiTImageProcessor"}, [(300, 280)]


def write_preprocess(folder):
    """Small results in full, large ones as SHA-256 of the float32 bytes."""
    from transformers import (BlipImageProcessorPil, CLIPImageProcessorPil, DeiTImageProcessorPil, LlavaImageProcessorPil,
                              ViTImageProcessorPil)
    classes = {"Blip": BlipImageProcessorPil, "CLIP": CLIPImageProcessorPil, "DeiT": DeiTImageProcessorPil,
               "Llav": LlavaImageProcessorPil, "ViTF": ViTImageProcessorPil, "ViTI": ViTImageProcessorPil}
    os.makedirs(folder + "/preprocess")
    lines, blob = [], b""
    for name, settings, sizes in processor_cases():
        os.makedirs(f"{folder}/preprocess/{name}")
        with open(f"{folder}/preprocess/{name}/preprocessor_config.json", "w") as f:
            json.dump(settings, f, indent=1)
        kind = settings.get("image_processor_type") or settings["feature_extractor_type"]
        processor = classes[kind[:4]].from_pretrained(f"{folder}/preprocess/{name}")
        for i, (w, h) in enumerate(sizes):
            seed = len(lines) + 1
            image = Image.fromarray(source(seed, i % 3, w, h))
            a = processor(images=image, return_tensors="np")["pixel_values"][0].astype(np.float32)
            data = a.astype("<f4").tobytes()
            digest = hashlib.sha256(data).hexdigest() if len(data) > 10000 else "-"
            lines.append(f"{name} {seed} {i % 3} {w} {h} {a.shape[2]} {a.shape[1]} {digest}\n")
            blob += b"" if digest != "-" else data
    save(folder, "preprocess", lines, blob)


def save(folder, name, lines, blob):
    with open(f"{folder}/{name}.txt", "w") as f:
        f.writelines(lines)
    with open(f"{folder}/{name}.bin", "wb") as f:
        f.write(blob)


def main():
    if sys.argv[1] == "--check":
        check_resize(sys.argv[2])
        return
    import transformers
    print("Pillow", PIL.__version__, "numpy", np.__version__, "transformers", transformers.__version__)
    folder = sys.argv[1]
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    write_pictures(folder)
    write_resize(folder)
    write_blur(folder)
    write_preprocess(folder)
    with open(folder + "/VERSIONS", "w") as f:
        f.write(f"Pillow {PIL.__version__}, numpy {np.__version__}, transformers {transformers.__version__}\n")


main()
