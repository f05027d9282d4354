"""Public photo data sets: their addresses, checksums and licences.

Addresses and hashes as published by TensorFlow Datasets and GoMLX:
https://github.com/tensorflow/datasets/blob/master/tensorflow_datasets/datasets/oxford_iiit_pet/checksums.tsv
https://github.com/gomlx/gomlx/tree/main/examples/dogsvscats
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from edgecat_runtime.errors import UserError

MIRROR = "EDGECAT_DATA_URL"


@dataclass(frozen=True)
class Archive:
    """One file of a data set.

    Attributes:
        url: its official address.
        digest: `sha256:` and 64 hexadecimal digits.
        bytes: its size in bytes.
    """

    url: str
    digest: str
    bytes: int

    @property
    def name(self) -> str:
        """The last component of the address."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Collection:
    """A public data set.

    Attributes:
        name: for `edgecat data fetch`.
        title: for display.
        page: address of its description.
        terms: its licence or terms of use.
        pictures: number of image files, damaged ones included.
        inside: pattern of the full path of an image in its archive.
        archives: its files.
    """

    name: str
    title: str
    page: str
    terms: str
    pictures: int
    inside: str
    archives: tuple[Archive, ...]


_VGG = "https://thor.robots.ox.ac.uk/~vgg/data/pets/"
_MICROSOFT = "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"

COLLECTIONS: Mapping[str, Collection] = MappingProxyType(
    {
        each.name: each
        for each in (
            Collection(
                "oxford-pets",
                "Oxford-IIIT Pet: 37 breeds of cats and dogs (Parkhi et al., 2012)",
                "https://www.robots.ox.ac.uk/~vgg/data/pets/",
                "Creative Commons Attribution-ShareAlike 4.0; the copyright remains with the "
                "original owners of the images",
                7_390,
                r"(?:\./)?images/(?P<name>[A-Za-z_]+_[0-9]+\.jpg)",
                (
                    Archive(
                        _VGG + "images.tar.gz",
                        "sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                        791_918_971,
                    ),
                    Archive(
                        _VGG + "annotations.tar.gz",
                        "sha256:52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                        19_173_078,
                    ),
                ),
            ),
            Collection(
                "cats-vs-dogs",
                "Cats vs Dogs: 25,000 photographs of Asirra (Elson et al., 2007)",
                "https://www.microsoft.com/en-us/download/details.aspx?id=54765",
                "for non-commercial research only, not to be redistributed without the "
                "permission of Microsoft Research; read the terms on the page",
                25_000,
                r"PetImages/(?P<label>Cat|Dog)/(?P<name>[0-9]+\.jpg)",
                (
                    Archive(
                        _MICROSOFT + "kagglecatsanddogs_5340.zip",
                        "sha256:b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
                        824_887_076,
                    ),
                ),
            ),
        )
    }
)


def collection(name: str) -> Collection:
    """Find a data set by name; with EDGECAT_DATA_URL, on that mirror instead of its own server.

    Raises:
        UserError: unknown data set.
    """
    if name not in COLLECTIONS:
        raise UserError(f"unknown data set {name!r}; expected one of {', '.join(COLLECTIONS)}")
    found = COLLECTIONS[name]
    if mirror := os.environ.get(MIRROR):
        moved = (replace(a, url=f"{mirror.rstrip('/')}/{a.name}") for a in found.archives)
        found = replace(found, archives=tuple(moved))
    return found


def breed_of(name: str) -> str:
    """Return the breed from an Oxford image name: `Maine_Coon_12.jpg` gives `maine_coon`."""
    return name.rpartition("_")[0].lower()


def species_of(name: str, listed: Mapping[str, str]) -> str:
    """Return `cat` or `dog`, from the set's own list, else by its convention: cats are capitalised.

    Args:
        name: of the image, such as `Maine_Coon_12.jpg`.
        listed: the result of `species_list`.
    """
    return listed.get(name.rpartition(".")[0]) or ("cat" if name[:1].isupper() else "dog")


def species_list(text: str) -> dict[str, str]:
    """Read `annotations/list.txt`: image, class, species (1 cat, 2 dog) and breed per line."""
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {row[0]: ("cat", "dog")[int(row[2]) - 1] for row in rows if len(row) == 4}
