"""The table of architectures, and the function that builds a module from a model card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from edgecat.models import alexnet, googlenet, inception, resnet, vgg
from edgecat.models.parts import Layers, scaled
from edgecat_runtime.errors import UserError
from edgecat_runtime.model.card import CardError, Fit, ModelCard

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Architecture:
    """One architecture: its description in a card and how to build it.

    Attributes:
        name: as in cards and torchvision.
        paper: its publication.
        layers: the published widths.
        build: builds the module that a card describes.
        smallest: the minimum height and width of the input in pixels.
        dense: the published widths of the dense head; empty if global average pooling is the
            published and only head.
        batch_norm: whether it always has batch norm; None: decided by the card.
        size: the published height and width of the input in pixels.
        dropout: the rate with the published head.
        normalisation: mean and standard deviation of RGB in 0..1 that official weights expect.
    """

    name: str
    paper: str
    layers: Layers
    build: Callable[[ModelCard], nn.Module]
    smallest: int = 32
    dense: Layers = ()
    batch_norm: bool | None = True
    size: int = 224
    dropout: float = 0.0
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]] = _IMAGENET

    @property
    def head(self) -> str:
        """The published head: `dense` or `gap`, global average pooling."""
        return "dense" if self.dense else "gap"

    def widths(self, *, head: str, factor: float = 1.0) -> Layers:
        """Return a card's widths: `head` is `dense` or `gap`, `factor` the channel multiplier.

        Raises:
            UserError: it has no dense head.
        """
        if head == "dense" and not self.dense:
            raise UserError(
                f"{self.name} ends in global average pooling, as published, without a dense head. "
                "Use --head gap"
            )
        return scaled(self.layers + (self.dense if head == "dense" else ()), factor)

    def card(
        self,
        labels: tuple[str, ...],
        *,
        size: int | None = None,
        head: str | None = None,
        factor: float = 1.0,
        batch_norm: bool | None = None,
        dropout: float | None = None,
        activation: str = "relu",
        fit: Fit = "crop",
    ) -> ModelCard:
        """Describe a network; omitted options are as published.

        Args:
            labels: class names.
            size: height and width of the input in pixels.
            head: `dense` or `gap`.
            factor: channel multiplier.
            batch_norm: normalise after each convolution.
            dropout: rate in the head.
            activation: by its name in `edgecat.models.parts.ACTIVATIONS`.
            fit: `crop`, `letterbox` or `stretch`.

        Raises:
            UserError: an unsupported head, or batch norm disabled although it is mandatory.
        """
        if self.batch_norm and batch_norm is False:
            raise UserError(f"{self.name} always has batch norm. Omit --no-batch-norm")
        head = head or self.head
        size = size or self.size
        published = self.dropout if head == self.head else 0.0
        mean, std = self.normalisation
        return ModelCard(
            architecture=self.name,
            labels=labels,
            height=size,
            width=size,
            layers=self.widths(head=head, factor=factor),
            head=head,
            batch_norm=bool(self.batch_norm or batch_norm),
            dropout=published if dropout is None else dropout,
            activation=activation,
            fit=fit,
            mean=mean,
            std=std,
        )


_vgg = partial(
    Architecture,
    paper="Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556",
    build=vgg.VGG.from_card,
    dense=vgg.DENSE,
    batch_norm=None,
    dropout=0.5,
)
_resnet = partial(
    Architecture,
    paper="He et al., 2015, https://arxiv.org/abs/1512.03385",
    layers=resnet.RESNET,
)

ARCHITECTURES = {
    known.name: known
    for known in (
        Architecture(
            "alexnet",
            "Krizhevsky, 2014, https://arxiv.org/abs/1404.5997",
            alexnet.ALEXNET,
            alexnet.AlexNet.from_card,
            smallest=63,
            dense=alexnet.DENSE,
            batch_norm=None,
            dropout=0.5,
        ),
        Architecture(
            "googlenet",
            "Szegedy et al., 2014, https://arxiv.org/abs/1409.4842",
            googlenet.GOOGLENET,
            googlenet.from_card,
            dropout=0.2,
            normalisation=_HALVES,
        ),
        Architecture(
            "inception_v3",
            "Szegedy et al., 2015, https://arxiv.org/abs/1512.00567",
            inception.INCEPTION_V3,
            inception.from_card,
            smallest=inception.SMALLEST,
            size=299,
            dropout=0.5,
            normalisation=_HALVES,
        ),
        _resnet(
            "resnet18", build=partial(resnet.from_card, block=resnet.Block, depths=(2, 2, 2, 2))
        ),
        _resnet(
            "resnet34", build=partial(resnet.from_card, block=resnet.Block, depths=(3, 4, 6, 3))
        ),
        _resnet(
            "resnet50",
            build=partial(resnet.from_card, block=resnet.Bottleneck, depths=(3, 4, 6, 3)),
        ),
        _vgg("vgg11", layers=vgg.VGG11),
        _vgg("vgg13", layers=vgg.VGG13),
        _vgg("vgg16", layers=vgg.VGG16),
        _vgg("vgg19", layers=vgg.VGG19),
    )
}


def architecture(name: str) -> Architecture:
    """Look up an architecture.

    Args:
        name: as in `ARCHITECTURES`; torchvision's `vgg16_bn` is `vgg16` with batch norm.

    Raises:
        UserError: unknown architecture.
    """
    known = ARCHITECTURES.get(name.removesuffix("_bn"))
    if known is None or (name not in ARCHITECTURES and known.batch_norm is not None):
        wanted = ", ".join(ARCHITECTURES)
        raise UserError(f"unknown architecture {name!r}; expected one of {wanted}")
    return known if name in ARCHITECTURES else replace(known, batch_norm=True)


def build_model(card: ModelCard) -> nn.Module:
    """Build the PyTorch module that a card describes, with newly initialised weights.

    Args:
        card: its architecture, layers, head, batch norm, dropout, activation, labels and input
            size are used.

    Returns:
        A module from normalised RGB, float (n, 3, height, width), to logits, float (n, classes); in
        training mode some return a `TrainingOutput` (`edgecat.models.auxiliary`).

    Raises:
        UserError: an unknown architecture.
        CardError: widths or sizes that the architecture does not support.
    """
    known = architecture(card.architecture)
    try:
        return known.build(card)
    except (ValueError, TypeError, RuntimeError) as error:
        raise CardError(
            f"cannot build the {card.architecture} that the model card describes ({error}). "
            "Train or export the model again"
        ) from error
