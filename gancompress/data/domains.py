"""A user's own images of several domains, unpaired: a folder for each, or a file of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gancompress.data.attributes import attribute_labels
from gancompress.data.crops import middle_square
from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.folderfiles import FolderFiles, group_of
from gancompress.data.folders import Listing, domain_files, split_pairs
from gancompress.data.images import Pixels, resized, shown_part
from gancompress.data.labels import Labels, Partners, Rows, fixed_partners, labelled_batch
from gancompress.data.options import DomainsOptions
from gancompress.errors import DataError
from gancompress.storage.digests import Digests


class DomainImages:
    """Images with labels, each to be translated to the label of another one.

    `layout` "folders": `folder` has a sub-folder of images for each domain, or train/, test/ (or
    val/) and perhaps search/ which each have those; `domains` chooses and orders them, () takes
    all in order of name. "attributes": `folder` has images whose labels for the names in
    `attributes` stand in `attribute_file`, see `attributes`. What is not split by folders is split
    by `split_seed`, domain by domain in the first layout; see `folders.split_pairs`.

    From each image the square of `crop` pixels in its middle (0: the largest) is resized to
    `size`. With a generator source and target are mirrored half of the time each, with `flip`.
    Sets of at most `cache_mb` (decoded; 0 = none) are decoded once and kept, larger ones stream.

    A source's target label is that of another image of the split whose label differs, and "target"
    is that image. With a generator it is drawn among all of those. Choi et al. 2018 permute the
    batch's own labels, so that labels come as often as in the data, which holds here too; but a
    small batch has few to permute, and what is asked to stay as it is teaches no translation. In
    evaluation the partners are fixed and switch all domains equally often.

    Raises: DataError for what is missing or does not fit, and for a label that all or no images of
    a split have; for damaged images later, when they are read (`check` reads them all).
    """

    paired = False

    def __init__(self, options: DomainsOptions, digests: Digests | None = None) -> None:
        self.options = options
        folder = Path(options.folder)
        if options.attribute_file is None:
            self.domains, items = _in_folders(folder, options.domains, options.split_fractions)
        else:
            table, self.domains = Path(options.attribute_file), options.attributes
            items = _with_attributes(folder, table, self.domains, options.split_fractions)
        self.channels = (3 + len(self.domains), 3)
        self._paths = {split: files for split, (files, _) in items.items()}
        self._labels = {split: labels for split, (_, labels) in items.items()}
        self._partners = {split: Partners(labels) for split, labels in self._labels.items()}
        self._fixed = {split: fixed_partners(labels) for split, labels in self._labels.items()}
        listed = {split: [(path,) for path in paths] for split, paths in self._paths.items()}
        self._files = FolderFiles(
            options,
            group_of(listed, options.folder),
            roots=(options.folder,),
            also=(options.attribute_file,),
            digests=digests,
        )
        self.origin = self._files.origin

    def count(self, split: Split) -> int:
        """Number of images of the split, each being a source once."""
        return len(self._paths[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "labels", "target"}` of `labels.labelled_batch`; see `Dataset.batch`.

        Raises: DataError naming the first file that cannot be used.
        """
        rows, labels = np.asarray(indices, np.intp), self._labels[split]
        partners = self._fixed[split][rows]
        mirrored = np.zeros((2, len(rows)), bool)
        if rng is not None:
            partners = self._partners[split].drawn(rows, rng)
            mirrored = (rng.random((2, len(rows))) < 0.5) & self.options.flip
        sources = self._images(split, rows, mirrored[0])
        targets = self._images(split, partners, mirrored[1])
        return labelled_batch(sources, targets, labels[rows], labels[partners])

    def content_hash(self, split: Split) -> str:
        """Digest of the split's names, file bytes, labels and settings."""
        options = self.options
        settings = [self.domains, options.crop, options.size, options.flip]
        flags = ["".join(str(int(flag)) for flag in label) for label in self._labels[split]]
        return self._files.digest(split, settings, flags)

    def shown(self, inputs: Tensor) -> Tensor:
        """The images without the channels behind them; see `Dataset.shown`."""
        return shown_part(inputs)

    def check(self) -> None:
        """Decode every image once. Raises: DataError naming the first file that is unusable."""
        for (path,) in self._files.all():
            self._decoded(path)

    def _images(self, split: Split, rows: Rows, mirrored: npt.NDArray[np.bool_]) -> Pixels:
        """(N, size, size, 3)."""
        images = [self._image(self._paths[split][row]) for row in rows.tolist()]
        return np.stack([i[:, ::-1] if m else i for i, m in zip(images, mirrored, strict=True)])

    def _image(self, path: Path) -> Pixels:
        """(size, size, 3)."""
        size = self.options.size
        return self._files.kept(
            path, lambda: resized(self._decoded(path), size, size), item_bytes=size**2 * 3
        )

    def _decoded(self, path: Path) -> Pixels:
        """The square in the middle of the file's image, (side, side, 3)."""
        pixels = self._files.reading.image(path, 3)
        return middle_square(pixels, self.options.crop, path)


Fractions = tuple[float, float, int]  # search_fraction, test_fraction, split_seed
Items = dict[Split, tuple[list[Path], Labels]]


def _in_folders(
    folder: Path, wanted: Sequence[str], fractions: Fractions
) -> tuple[tuple[str, ...], Items]:
    listings = domain_files(folder, wanted)
    by_domain = {
        name: split_pairs(listing, *fractions, where=f"{folder}: domain {name}", unit="images")
        for name, listing in listings.items()
    }
    one_hot = np.eye(len(by_domain), dtype=bool)
    items: Items = {}
    for split in SPLITS:
        files = [splits[split] for splits in by_domain.values()]
        labels = one_hot.repeat([len(some) for some in files], axis=0)
        items[split] = [path for some in files for (path,) in some], labels
    return tuple(by_domain), items


def _with_attributes(
    folder: Path, attribute_file: Path, wanted: Sequence[str], fractions: Fractions
) -> Items:
    label_of = attribute_labels(folder, attribute_file, wanted)
    _check_both_occur(np.array(list(label_of.values())), wanted, f"{attribute_file}")
    listing: Listing = {"": [(path,) for path in label_of]}
    splits = split_pairs(listing, *fractions, where=f"{folder}", unit="images")
    items: Items = {}
    for split, pairs in splits.items():
        labels = np.array([label_of[path] for (path,) in pairs])
        _check_both_occur(labels, wanted, f"{folder}: split {split}")
        items[split] = [path for (path,) in pairs], labels
    return items


def _check_both_occur(labels: Labels, names: Sequence[str], where: str) -> None:
    """Raises: DataError unless every domain has images in it and others outside."""
    for name, flags in zip(names, labels.T, strict=True):
        if flags.all() or not flags.any():
            found = "all" if flags.all() else "none"
            raise DataError(
                f"{where}: {found} of the {len(labels)} images have {name!r}; "
                "some must have it and some must not: add images or choose another attribute"
            )
