"""ViTPose of the transformers library, saved by it and imported here: the same heatmaps, and the same file back.

    pip install transformers==4.57.6
    python benchmarks/vitpose_transformers.py --json benchmarks/results/vitpose_transformers.json

Random weights of the four published shapes (S and B, classic and simple decoder). Every tensor that it names must be in
the layout ``vitpose-transformers``, export must give its file back bit for bit, and both must see the same in two
pictures. Prints JSON.
"""

import argparse
import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

from fidip.files import write_json
from fidip.networks.card import IMAGENET_MEAN, IMAGENET_STD
from fidip.networks.importing import export_weights, import_weights

LAYOUT = "vitpose-transformers"
WIDTHS = {"s": 384, "b": 768}


def their_network(width, simple):
    """A network of theirs in which every tensor matters."""
    backbone = VitPoseBackboneConfig(hidden_size=width, num_hidden_layers=12, num_attention_heads=12, out_indices=[12])
    config = VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=simple)
    net = VitPoseForPoseEstimation(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
        for name, buffer in net.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return net


def compared(theirs, folder):
    """What importing it, running it and exporting it gives."""
    state = {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    ours = import_weights(folder / "model.safetensors", LAYOUT)
    exported = export_weights(ours, LAYOUT)
    images = torch.rand(2, 3, 256, 192)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        expected, found = theirs((images - mean) / std).heatmaps, ours(images).heatmaps
    same = exported.keys() == state.keys() and all(torch.equal(exported[name], t) for name, t in state.items())
    return {
        "card": ours.card.name,
        "tensors": len(state),
        "exported_is_the_file": same,
        "largest_heatmap": float(expected.abs().max()),
        "largest_difference": float((expected - found).abs().max()),
    }


def main():
    """Compare the four shapes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    networks = []
    for width in WIDTHS.values():
        for simple in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                networks.append(compared(their_network(width, simple), Path(folder)))
    report = {
        "networks": networks,
        "seed": 0,
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "safetensors")},
    }
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(options.json, report, indent=2)


if __name__ == "__main__":
    main()
