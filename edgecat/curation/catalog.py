"""Public sets of photographs: where they lie, what their bytes must be, and on what terms.

Addresses and hashes as TensorFlow Datasets and GoMLX publish them:
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
    """One file of a set.

    Attributes:
        url: its official address.
        digest: `sha256:` and 64 hexadecimal digits.
        bytes: its size.
    """

    url: str
    digest: str
    bytes: int

    @property
    def name(self) -> str:
        """The address' last part."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Collection:
    """A public set.

    Attributes:
        name: as `edgecat data fetch` takes it.
        title: for people.
        page: where it is described.
        terms: on which it may be used.
        pictures: how many files look like one, damaged ones included.
        inside: a pattern of the whole path of a picture in its archive.
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
                "original owners of the pictures",
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
                "for non-commercial research only, and not to be published again without the "
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
    """Find a set by its name; with EDGECAT_DATA_URL, on that mirror in place of its own server.

    Raises:
        UserError: there is no such set.
    """
    if name not in COLLECTIONS:
        raise UserError(
            f"there is no set of photographs {name!r}; expected one of {', '.join(COLLECTIONS)}"
        )
    found = COLLECTIONS[name]
    if mirror := os.environ.get(MIRROR):
        moved = (replace(a, url=f"{mirror.rstrip('/')}/{a.name}") for a in found.archives)
        found = replace(found, archives=tuple(moved))
    return found


def breed_of(name: str) -> str:
    """The breed in an Oxford picture's name: `Maine_Coon_12.jpg` shows a `maine_coon`."""
    return name.rpartition("_")[0].lower()


def species_of(name: str, listed: Mapping[str, str]) -> str:
    """`cat` or `dog`, by the set's own list, else by its convention: cats have capitals.

    Args:
        name: of the picture, such as `Maine_Coon_12.jpg`.
        listed: what `species_list` read.
    """
    return listed.get(name.rpartition(".")[0]) or ("cat" if name[:1].isupper() else "dog")


def species_list(text: str) -> dict[str, str]:
    """Read `annotations/list.txt`: a picture, its class, its species (1 cat, 2 dog), its breed."""
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {row[0]: ("cat", "dog")[int(row[2]) - 1] for row in rows if len(row) == 4}
