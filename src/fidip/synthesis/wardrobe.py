"""What people wear. An infant always wears a diaper, an adult always a top and trousers."""

from __future__ import annotations

import numpy as np

from fidip.synthesis.bodies.protocol import Population
from fidip.synthesis.clothing import Garment


def draw_garments(rng: np.random.Generator, population: Population) -> tuple[Garment, ...]:
    """Garments from the innermost outwards."""
    return draw_infant_garments(rng) if population == "infant" else draw_adult_garments(rng)


def draw_infant_garments(rng: np.random.Generator) -> tuple[Garment, ...]:
    """A diaper, and over it nothing, a shirt, a bodysuit, a shirt with trousers, or a sleepsuit."""
    diaper = Garment(
        "diaper", waist=rng.uniform(0.24, 0.38), opening=rng.uniform(0.14, 0.22), thickness=rng.uniform(0.008, 0.014),
        wrinkles=0.003, repeats=6,
    )  # fmt: skip
    neck = rng.uniform(0.08, 0.16)
    sleeve = rng.uniform(0.3, 0.7) if rng.random() < 0.6 else rng.uniform(1.5, 1.9)
    shirt = Garment("shirt", hem=rng.uniform(0.0, 0.35), neck=neck, sleeve=sleeve, thickness=0.004, repeats=5)
    outfit = rng.choice(["diaper", "shirt", "bodysuit", "trousers", "sleepsuit"], p=[0.24, 0.28, 0.22, 0.16, 0.10])
    garments = [diaper]
    if outfit == "shirt":
        garments.append(shirt)
    elif outfit == "bodysuit":
        garments.append(
            Garment("bodysuit", neck=neck, sleeve=sleeve, opening=rng.uniform(0.2, 0.28), thickness=0.003, repeats=5)
        )
    elif outfit == "trousers":
        length = rng.uniform(0.5, 0.9) if rng.random() < 0.3 else rng.uniform(1.5, 1.9)
        garments.append(Garment("trousers", waist=rng.uniform(0.3, 0.45), leg=length, thickness=0.005, repeats=5))
        garments.append(shirt)
    elif outfit == "sleepsuit":
        garments.append(Garment("sleepsuit", neck=neck, sleeve=1.92, leg=1.9, thickness=0.005, repeats=5))
    if rng.random() < (0.7 if outfit == "sleepsuit" else 0.2):
        garments.append(Garment("socks", foot=rng.uniform(1.72, 1.88), thickness=0.004, wrinkles=0.001, repeats=6))
    return tuple(garments)


def draw_adult_garments(rng: np.random.Generator) -> tuple[Garment, ...]:
    """Trousers long or short, a top with sleeves of some length, mostly shoes."""
    long = rng.random() < 0.75
    trousers = Garment(
        "trousers", waist=rng.uniform(0.15, 0.3), leg=rng.uniform(1.82, 1.95) if long else rng.uniform(0.5, 1.1),
        thickness=rng.uniform(0.006, 0.016), wrinkles=0.005, repeats=8,
    )  # fmt: skip
    sleeve = rng.uniform(0.35, 0.8) if rng.random() < 0.55 else rng.uniform(1.5, 1.93)
    top = Garment(
        "top", hem=rng.uniform(-0.2, 0.12), neck=rng.uniform(0.1, 0.2), sleeve=sleeve,
        thickness=rng.uniform(0.006, 0.02), wrinkles=0.006, repeats=8,
    )  # fmt: skip
    garments = [trousers, top]
    if rng.random() < 0.8:
        garments.insert(0, Garment("shoes", foot=rng.uniform(1.9, 2.0), thickness=0.012, wrinkles=0.0, repeats=8))
    return tuple(garments)
