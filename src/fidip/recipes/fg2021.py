"""The tables of Huang et al., "Invariant Representation Learning for Infant Pose Estimation with Small Data" (FG 2021).

*Tables* are those of the authors' README. The text of that paper was not at hand; its training numbers (§V.B) are as
users report them: *report*. *Code* is what the authors published with it (a76b4f4), whose loader, samplers and
classifiers are taken; its configuration files for infants are not, since they start from random weights with λ = 0
and no pre-stage, which cannot be what the tables show.
"""

from __future__ import annotations

from dataclasses import replace

from fidip.data.augment import Augmentation
from fidip.recipes.arxiv import FOLLOWS
from fidip.training.published import Published
from fidip.training.recipe import Pretrain, Recipe

NAMES = ("AP50", "AP75", "AR", "AR50", "AR75")
TUNING, GENERALITY = "FG2021 tuned on", "FG2021 generality"

ALIKE = {
    **FOLLOWS,
    "number of epochs": "report of the paper: 100 of batches of 64; the code's files say 20 of 20 and 20 of 18",
    "pre-stage": "report of the paper: 1 epoch of batches of 128; the code's files say none, and 10 of 64",
    "λ": "report of the paper: 0.0005; the code's files for infants say 0",
    "learning rate": "report of the paper: 0.001, constant; the code: 0.0001 for HRNet; a fall at 50, 80 unconfirmed",
    "initial weights": "tables: trained on COCO; the code's files say none",
}
BALANCED = {
    "real and synthetic in a batch": "code: half each, real ones repeated; here shuffled anew, there in one order",
    "adults in a batch": "neither: half each too; the code shuffles its 1904 real and 2000 synthetic adults together",
}

RESNET = Recipe(
    name="fg-resnet-50-fidip",
    source="report of FG 2021 §V.B; loader of the last code that had a Pose-ResNet",
    starts_from="pose-resnet-50-384x288",  # tables: "base" 82.4
    input_size=(288, 384),  # tables
    sigma=3.0,  # heatmap pixels; code, configuration of 384x288
    epochs=100,  # report
    batch_size=64,  # report
    learning_rate=1e-3,  # report, Adam
    classifier="flat",  # code at 104eab6
    domain_weight=0.0005,  # report
    pretrain=Pretrain(epochs=1, batch_size=128),  # report
    frozen=("res1", "res2", "res3"),  # report
    augmentation=Augmentation(scale=0.3, rotation=40.0),  # code at 104eab6
)

HRNET = replace(
    RESNET,
    name="fg-hrnet-w48-fidip",
    source="report of FG 2021 §V.B; loader, sampler and classifier of the code",
    starts_from="dark-hrnet-w48-384x288",  # tables: "base" 88.5
    classifier="hrnet",  # code
    frozen=("res1", "res2", "res3"),  # code's comment: stem to stage2; its index, 108, is one convolution more
    synthetic_share=0.5,  # code: balanced sampler
    augmentation=Augmentation(scale=0.35, rotation=45.0, half_body_probability=0.3),  # code
)

MOBILENET = replace(
    RESNET,
    name="fg-mobilenet-v2-fidip",
    source="report of FG 2021 §V.B; loader, sampler and classifier of the code",
    starts_from="mobilenet-v2-224x224",  # tables: "base" 46.5
    input_size=(224, 224),  # code
    sigma=2.0,  # heatmap pixels; code
    classifier="mobilenet",  # code
    frozen=(),  # code: all layers learn
    synthetic_share=0.5,  # code: balanced sampler
    augmentation=Augmentation(scale=0.3, rotation=40.0),  # code
)


def _follows(recipe: Recipe) -> dict[str, str]:
    changes = dict(BALANCED) if recipe.synthetic_share else {}
    if recipe.starts_from == HRNET.starts_from:
        changes["what is frozen"] = (
            "code's comment, which its index exceeds by one convolution; the report names Res1 to Res3"
        )
    if not recipe.frozen:
        changes["what is frozen"] = "code: nothing; the report's Res1 to Res3 are a ResNet's"
    return {**ALIKE, **changes}


def _fidip(recipe: Recipe, *figures: float) -> Recipe:
    """Domain adaptation from both kinds of images; ``figures`` are AP and the others of ``NAMES``."""
    others = dict(zip(NAMES, figures[1:], strict=True))
    published = Published(
        GENERALITY, "FiDIP", figures[0], real=200, synthetic=1000, others=others, follows=_follows(recipe)
    )
    return replace(recipe, published=published)


def _tuned(recipe: Recipe, data: str, images: tuple[int, int | None], *figures: float) -> Recipe:
    """Fine-tuning without domain adaptation on so many real and synthetic images of a data set."""
    real, synthetic = images
    others = dict(zip(NAMES, figures[1:], strict=True))
    published = Published(TUNING, data, figures[0], real, synthetic, others, _follows(recipe))
    return replace(
        recipe,
        name=recipe.name.replace("fidip", data.lower()),
        classifier=None,  # with λ = 0 the network learns the same to the bit
        domain_weight=0.0,
        pretrain=None,
        synthetic_share=recipe.synthetic_share if real else None,
        real_images="labelled" if real else "none",
        published=published,
    )


MINI_RGBD = (0, None)  # rendered infants; how many of the 12,000, the authors do not say
SYNTHETIC = (0, 1000)
SYRIP = (200, 1000)

RECIPES = (
    _tuned(RESNET, "MINI-RGBD", MINI_RGBD, 69.2, 95.8, 78.0, 72.4, 97.0, 81.0),
    _tuned(RESNET, "SyRIP-syn", SYNTHETIC, 85.3, 97.1, 91.8, 87.4, 98.0, 93.0),
    _tuned(RESNET, "SyRIP", SYRIP, 90.1, 98.5, 97.2, 91.6, 99.0, 98.0),
    _fidip(RESNET, 91.1, 98.5, 98.5, 92.6, 99.0, 99.0),
    _tuned(HRNET, "MINI-RGBD", MINI_RGBD, 85.2, 98.6, 95.3, 87.0, 99.0, 96.0),
    _tuned(HRNET, "SyRIP-syn", SYNTHETIC, 91.4, 98.5, 98.5, 92.7, 99.0, 99.0),
    _tuned(HRNET, "SyRIP", SYRIP, 92.7, 98.5, 98.5, 93.9, 99.0, 99.0),
    _fidip(HRNET, 93.6, 98.5, 98.5, 94.6, 99.0, 99.0),
    _tuned(MOBILENET, "MINI-RGBD", MINI_RGBD, 12.3, 38.1, 3.8, 21.6, 52.0, 14.0),
    _tuned(MOBILENET, "SyRIP-syn", SYNTHETIC, 60.3, 91.1, 62.7, 68.4, 95.0, 72.0),
    _tuned(MOBILENET, "SyRIP", SYRIP, 78.9, 97.2, 90.6, 84.2, 98.0, 94.0),
    _fidip(MOBILENET, 79.2, 99.0, 89.4, 84.1, 99.0, 92.0),
)
