"""The cards of the published networks: what their weights files do not say of themselves.

Each number is of the authors' configuration file for that network. Names read *family-backbone-HxW*; the sizes in cards
are W, H, as everywhere here.
"""

from __future__ import annotations

from dataclasses import replace

from fidip.geometry import Size
from fidip.networks.card import PUBLISHED_SIGMAS, NetworkCard, published_pose_resnet

SMALL: Size = (96, 128)
MEDIUM, LARGE = PUBLISHED_SIGMAS

DARK = NetworkCard(
    backbone="hrnet",
    width=48,
    input_size=LARGE,
    heatmap_sigma=3.0,
    blur_kernel=11,  # in every HRNet configuration of DarkPose, whatever the input
    description="DarkPose, trained by its authors on COCO",
    licence="not stated for the weights; the code is marked MIT",
)
"""DarkPose (Zhang et al. 2020): exact Gaussians, DARK's decoding and affine map, no shift of the mirrored heatmaps."""

HRNET = NetworkCard(
    backbone="hrnet",
    width=32,
    input_size=MEDIUM,
    affine="simple-baseline",
    heatmap_sigma=2.0,
    encoding="quantised",
    decoding="quarter",
    flip_shift=True,
    description="HRNet, trained by its authors on COCO",
    licence="MIT",
)
"""HRNet (Sun et al. 2019): the loader and decoding of SimpleBaseline, but RGB."""

MOBILE = NetworkCard(
    backbone="mobilenet-v2",
    width=1.0,
    head="pixel-shuffle",
    input_size=(224, 224),
    heatmap_sigma=2.0,
    blur_kernel=11,
    licence="non-commercial, by the authors' README; no licence text",
)
"""The Pose-MobileNet of the FiDIP code, which is built on DarkPose's."""

VITPOSE = NetworkCard(
    backbone="vit-12",
    width=768,
    input_size=MEDIUM,
    affine="udp",
    heatmap_sigma=2.0,
    blur_kernel=11,
    description="ViTPose, trained by its authors on COCO",
    licence="Apache-2.0",
)
"""ViTPose (Xu et al. 2022), classic decoder. Its own decoding takes DARK's step with shorter second differences."""

FIDIP_LICENCE = MOBILE.licence

PUBLISHED: dict[str, NetworkCard] = {
    card.name: card
    for card in (
        *(published_pose_resnet(depth, size) for depth in (50, 101, 152) for size in (MEDIUM, LARGE)),
        replace(
            published_pose_resnet(50, LARGE),
            name="fidip-resnet-50-384x288",
            description="FiDIP on Pose-ResNet-50, by its authors",
            licence=FIDIP_LICENCE,
            flip_shift=False,  # their evaluation has no flip test
        ),
        replace(
            DARK,
            name="dark-resnet-50-128x96",
            backbone="resnet-50",
            width=64,
            input_size=SMALL,
            colour_order="BGR",
            heatmap_sigma=1.0,
            blur_kernel=3,
        ),
        replace(DARK, name="dark-hrnet-w48-128x96", input_size=SMALL, heatmap_sigma=1.0),
        replace(DARK, name="dark-hrnet-w32-256x192", width=32, input_size=MEDIUM, heatmap_sigma=2.0),
        replace(DARK, name="dark-hrnet-w48-384x288"),
        replace(
            DARK,
            name="fidip-hrnet-w48-384x288",
            description="FiDIP on DarkPose's HRNet-W48, by its authors",
            licence=FIDIP_LICENCE,
        ),
        *(
            replace(
                HRNET,
                name=f"hrnet-w{width}-{size[1]}x{size[0]}",
                width=width,
                input_size=size,
                heatmap_sigma=PUBLISHED_SIGMAS[size],
            )
            for width in (32, 48)
            for size in (MEDIUM, LARGE)
        ),
        replace(
            MOBILE,
            name="mobilenet-v2-224x224",
            colour_order="BGR",
            description="Pose-MobileNet, trained by the authors of FiDIP on COCO",
        ),
        replace(
            MOBILE,
            name="fidip-mobilenet-v2-224x224",
            description="FiDIP on Pose-MobileNet, by its authors",
        ),
        replace(VITPOSE, name="vitpose-s-256x192", width=384),
        replace(VITPOSE, name="vitpose-b-256x192"),
        replace(VITPOSE, name="vitpose-s-simple-256x192", width=384, head="interpolation"),
        replace(VITPOSE, name="vitpose-b-simple-256x192", head="interpolation"),
    )
}
"""From a name to the card of that network."""
