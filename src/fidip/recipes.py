"""The experiments by name: the paper's, each number with its source, and the small ones behind the demo.

Sources: *paper* is Huang et al., "Infant Pose Learning with Small Data" (arXiv 2010.06100 v1); *code* is what its
authors published with it.
"""

from __future__ import annotations

from dataclasses import replace

from fidip.data.augment import Augmentation
from fidip.networks.card import NetworkCard
from fidip.training.recipe import Pretrain, Recipe

VARIED = Augmentation(
    scale=0.35,  # DARK's loader
    rotation=45.0,  # DARK's loader
    brightness=0.3,  # cameras and lamps differ more between homes than the few real images of a training set show
    contrast=0.3,
    saturation=0.3,
    occlusion_probability=0.2,  # blankets, toys, hands
)
"""The published loaders vary geometry only; with few real images colours and occluders have to be varied too."""

FIDIP = Recipe(
    name="fidip",
    source="paper §5.2 and Table 2, row j: 92.2 AP on 100 SyRIP images",
    backbone="resnet-50",  # paper §5.2: Pose-ResNet-50 trained on COCO
    input_size=(288, 384),  # paper §5.2
    sigma=3.0,  # heatmap pixels; code, configuration of 384x288
    epochs=80,  # paper §5.2, stages I and II
    batch_size=85,  # paper §5.2
    learning_rate=1e-3,  # paper §5.2, Adam; constant: the code's milestones lie behind the last epoch
    classifier="flat",  # code: three layers on the flattened 2048x12x9 features
    domain_weight=0.0005,  # paper §5.2, λ
    pretrain=Pretrain(epochs=10, batch_size=128),  # paper §5.2
    frozen=("res1", "res2", "res3"),  # paper §5.2: Res4 and Res5 are updated
    augmentation=Augmentation(scale=0.3, rotation=40.0),  # code
)

ADULT_SMALL = Recipe(
    name="adult-small",
    source="ours: the source network of the demo, trained on rendered adults from nothing",
    network=NetworkCard(
        backbone="resnet-18",
        width=24,  # of the published 64: two million parameters, 4 MB in half precision, for two CPU cores
        head_width=64,
        input_size=(128, 128),  # square, since infants lie any way round
        heatmap_sigma=1.5,
        blur_kernel=5,  # DARK takes 7 for heatmaps of 64x48; these are half as large
        description="adults, rendered",
        licence="Apache-2.0",
    ),
    epochs=40,
    batch_size=32,
    learning_rate=1e-3,
    cosine=True,
    warmup_steps=20,
    synthetic_share=0.5,
    augmentation=VARIED,
)

INFANT_SMALL = Recipe(
    name="infant-small",
    source="ours: the demo's adaptation of adult-small, as much as two CPU cores learn in two minutes an arm",
    backbone="resnet-18",
    epochs=8,
    steps_per_epoch=60,
    batch_size=16,  # twice the steps of 32 at the same cost
    learning_rate=1e-3,  # paper §5.2
    cosine=True,
    warmup_steps=20,
    classifier="pooled",
    domain_weight=0.0005,  # the paper's
    domain_ramp=2.0,
    pretrain=Pretrain(epochs=4, batch_size=64),
    synthetic_share=0.5,
    augmentation=replace(  # milder, for a short run
        VARIED, scale=0.25, brightness=0.15, contrast=0.15, saturation=0.15, occlusion_probability=0.0
    ),
)

RECIPES: dict[str, Recipe] = {
    "fidip": FIDIP,
    "fine-tune": replace(
        FIDIP,
        name="fine-tune",
        source="paper Table 2, row g: 91.8 AP; λ = 0",
        classifier=None,  # with λ = 0 the network learns the same to the bit, and nothing else is asked of a classifier
        domain_weight=0.0,
        pretrain=None,
    ),
    "adult-small": ADULT_SMALL,
    "infant-small": INFANT_SMALL,
}
