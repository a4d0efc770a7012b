"""Looking at features: where they lie, and how well the domains can be told apart by them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from fidip.annotations import FloatArray


def tsne(features: NDArray[np.floating], seed: int) -> FloatArray:  # (N, C) -> (N, 2)
    """A map of features in two dimensions (van der Maaten and Hinton 2008) after each channel is standardised.

    The perplexity is 30, less where there are few points.
    """
    perplexity = min(30.0, (len(features) - 1) / 3)
    scaled = StandardScaler().fit_transform(np.asarray(features, dtype=np.float64))
    with threadpool_limits(1):  # more threads wait for each other longer than they compute
        mapped = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)
    return np.asarray(mapped, dtype=np.float64)


def domain_probe(features: NDArray[np.floating], synthetic: NDArray[np.bool_], seed: int) -> float:
    """How well a line tells the domains apart: 5-fold accuracy of logistic regression, balanced over the domains.

    One half means that no linear classifier sees a difference; ``2 (2 · accuracy − 1)`` is the proxy A-distance
    (Ben-David et al. 2007).
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=500))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    scores = cross_val_score(model, features, synthetic, cv=folds, scoring="balanced_accuracy")
    return float(np.mean(scores))
