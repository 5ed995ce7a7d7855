"""A user's own label maps with their photographs, as GauGAN learns from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gancompress.data.crops import Resizing, crops_of
from gancompress.data.dataset import Batch, Split
from gancompress.data.folderfiles import FolderFiles, group_of
from gancompress.data.folders import Listing, Pair, split_pairs
from gancompress.data.images import Pixels, resized, to_tensor
from gancompress.data.labelchannels import label_channels, label_picture, palette
from gancompress.data.labelcodes import Ids, LabelCodes, colour_table, read_instances
from gancompress.data.labelfiles import in_cityscapes, in_coco_stuff, in_folders
from gancompress.data.labelmapsoptions import LabelMapsOptions
from gancompress.errors import DataError
from gancompress.storage.digests import Digests

_UNKNOWN_COLOUR = (96, 96, 96)
_BYTES = 4 + 3 + 4  # The bytes of a pixel in memory: class, photograph, instance.

Loaded = tuple[Ids, Pixels, Ids]  # classes (H, W), photograph (H, W, 3), instances (H, W)


class LabelMaps:
    """Label maps, the input, and the photographs that they were drawn from.

    `layout` "folders": `label_folder`, `image_folder` and perhaps `instance_folder` have files of
    equal stems, in train/, test/ (or val/) and perhaps search/, or directly, to be split by
    `split_seed`. "cityscapes" and "coco-stuff": `folder` is that data set, see `labelfiles`; the
    search split is taken from the training images. With `edges` the instances, where there are
    some, give one more channel. How images stand for `classes` is told in `labelcodes.LabelCodes`;
    `unknown` pixels have no class, or one channel of their own with `unknown_class`.

    Images are resized, cropped and mirrored as `crops.Crops` says, label map and photograph alike:
    photographs bicubic, labels and instances to the nearest pixel. Sets of at most `cache_mb`
    (decoded; 0 = none) are decoded once and kept, larger ones stream.

    Raises: DataError for a folder or file that is missing, or a table that does not fit; for
    images that are damaged, do not fit or have other labels later, when they are read (`check`
    reads them all).
    """

    paired = True

    def __init__(self, options: LabelMapsOptions, digests: Digests | None = None) -> None:
        self.options = options
        self.crops = crops_of(options.load_size, options.crop_size, options.flip)
        table = colour_table(options.colours, options.colour_file, options.classes)
        self._codes = LabelCodes(options.classes, options.unknown, table)
        self._one_hot = options.classes + options.unknown_class  # channels
        self.channels, self.class_names = options.channels, options.class_names
        self._has_edges = options.has_edges
        shown = palette(options.classes) if table is None else table
        self._colours = np.concatenate([shown, np.array([_UNKNOWN_COLOUR], np.uint8)])
        folders = (options.label_folder, options.image_folder, options.instance_folder)
        listing = _listing(options, self._has_edges)
        self._items = split_pairs(listing, *options.split_fractions)
        roots = (options.folder, *folders[: 3 if self._has_edges else 2])
        self._files = FolderFiles(
            options,
            group_of(self._items, *roots),
            roots=roots,
            also=(options.colour_file,),
            digests=digests,
        )
        self.origin = self._files.origin

    def count(self, split: Split) -> int:
        """Number of photographs of the split."""
        return len(self._items[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`: channels of 0 or 1 (N, channels, *crop), photographs in [-1, 1].

        The channels are one for each class, then that of the unknown, then the edges, of
        `channels`.
        Raises: DataError naming the first file that cannot be used.
        """
        images = [self._images(self._items[split][int(i)], self.crops.before(rng)) for i in indices]
        windows = [self.crops.drawn(rng, classes.shape) for classes, _, _ in images]
        cut = list(zip(windows, images, strict=True))
        classes = np.stack([window.of(image[0]) for window, image in cut])
        photographs = np.stack([window.of(image[1]) for window, image in cut])
        instances = np.stack([window.of(image[2]) for window, image in cut])
        channels = label_channels(classes, self._one_hot, instances if self._has_edges else None)
        return {"input": channels, "target": to_tensor(photographs)}

    def content_hash(self, split: Split) -> str:
        """Digest of the split's names, file bytes and settings."""
        codes, table = self._codes, self._codes.table
        settings = [
            *self.crops.settings(), self.channels, codes.classes, codes.unknown,
            None if table is None else table.tolist(),
        ]  # fmt: skip
        return self._files.digest(split, settings)

    def shown(self, inputs: Tensor) -> Tensor:
        """The label map in its classes' colours, edges dark; see `Dataset.shown`."""
        return label_picture(inputs, self._colours[: self._one_hot], self._has_edges)

    def check(self) -> None:
        """Decode every file once. Raises: DataError naming the first one that is unusable."""
        for item in self._files.all():
            self._decoded(item)

    def _images(self, item: Pair, resizing: Resizing) -> Loaded:
        """Classes, photograph and instances, resized alike."""
        area = self.crops.area
        item_bytes = None if area is None else area * _BYTES
        return self._files.kept(
            (item, resizing), lambda: self._resized(item, resizing), item_bytes=item_bytes
        )

    def _resized(self, item: Pair, resizing: Resizing) -> Loaded:
        classes, photograph, instances = self._decoded(item)
        size = self.crops.sized(classes.shape, resizing, item[0])
        return nearest(classes, *size), resized(photograph, *size), nearest(instances, *size)

    def _decoded(self, item: Pair) -> Loaded:
        """All three as they are in the files; without instances they are the classes."""
        classes = self._codes.read(item[0])
        photograph = self._files.reading.image(item[1], 3)
        instances = read_instances(item[2]) if self._has_edges else classes
        height, width = classes.shape
        for path, (h, w, *_) in zip(item[1:], (photograph.shape, instances.shape), strict=False):
            if (h, w) != (height, width):
                raise DataError(
                    f"{path}: is {w}x{h} and its label image {item[0]} is {width}x{height}; "
                    "both must have the same size"
                )
        return classes, photograph, instances


def _listing(options: LabelMapsOptions, has_edges: bool) -> Listing:
    if options.layout == "folders":
        assert options.label_folder and options.image_folder, "the options have them"
        instances = options.instance_folder
        return in_folders(
            Path(options.label_folder),
            Path(options.image_folder),
            Path(instances) if has_edges and instances is not None else None,
        )
    assert options.folder, "the options have it"
    read = in_cityscapes if options.layout == "cityscapes" else in_coco_stuff
    return read(Path(options.folder), has_edges)


def nearest(ids: Ids, height: int, width: int) -> Ids:
    """(height, width), each the value that lies at its pixel's middle."""
    rows = (2 * np.arange(height) + 1) * ids.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * ids.shape[1] // (2 * width)
    found: npt.NDArray[np.int32] = ids[np.ix_(rows, columns)]
    return found
