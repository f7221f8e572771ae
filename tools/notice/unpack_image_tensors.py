"""Turns NOTICE's image_tensors_*.pkl into a folder of PNG files and map.tsv, as `fovea data svo --images` reads it.

The pickle is a list of (URL, float tensor [3, 224, 224] in 0..1), written with pickle.dump. Only the names that such a
file needs are allowed; any other is refused, so a foreign pickle runs nothing. Tensors become bytes by times 255,
rounded (values came from bytes, so this is exact). Failed downloads were stored as zeros; they are written as the black
pictures that they are, and `fovea data` leaves them out. The published file of about 30 GB needs that much memory.

Usage: unpack_image_tensors.py IMAGE_TENSORS.pkl FOLDER        (needs torch, pillow)
"""

import io
import pathlib
import pickle
import sys

import torch
from PIL import Image


def rebuild_bytes(storage, offset, size, stride, *_):
    """In place of torch._utils._rebuild_tensor_v2: keeps the picture as bytes instead of the storage of its batch."""
    tensor = torch.empty(0, dtype=storage.dtype).set_(storage, offset, size, stride)
    return (tensor.float() * 255).round().clamp(0, 255).to(torch.uint8).contiguous()


class Reader(pickle.Unpickler):
    NAMES = {
        ("torch._utils", "_rebuild_tensor_v2"): rebuild_bytes,
        ("torch.storage", "_load_from_bytes"): lambda data: torch.load(io.BytesIO(data), weights_only=True),
        ("collections", "OrderedDict"): dict,
    }

    def find_class(self, module, name):
        if (module, name) not in self.NAMES:
            raise pickle.UnpicklingError(f"the pickle names {module}.{name}, which a list of picture tensors does not")
        return self.NAMES[module, name]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with open(sys.argv[1], "rb") as file:
        pictures = Reader(file).load()
    lines, black = {}, 0
    for url, picture in pictures:
        if url in lines:
            continue
        if any(c in url for c in "\t\r\n") or tuple(picture.shape[:1]) != (3,):
            sys.exit(f"entry {len(lines)}: not a URL and a tensor [3, height, width]")
        name = f"{len(lines):06d}.png"
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / name)
        lines[url] = name
        black += not picture.any()
    (folder / "map.tsv").write_text("".join(f"{url}\t{name}\n" for url, name in lines.items()), encoding="utf-8")
    print(f"{len(lines)} pictures, {black} of them black")


if __name__ == "__main__":
    main()
