"""The rank of a candidate's effect among its matched controls, over many images.

    r_i = number of controls of image i with an effect below the candidate's,   T = Σ_i r_i

If the candidate's place is exchangeable with its m_i controls, r_i is uniform on 0 … m_i, whatever the distribution of
effects; images are independent. So P(T ≥ t) is exact: the convolution of uniform distributions. A tie counts against
the candidate, which can only raise p.
"""

import numpy as np
from numpy.typing import NDArray


def ranks(effects: NDArray[np.floating], controls: NDArray[np.floating]) -> NDArray[np.int64]:
    """r (n,): effects (n,), controls (n, m); NaN marks a control that is missing."""
    return (controls < effects[:, None]).sum(1)


def p_value(effects: NDArray[np.floating], controls: NDArray[np.floating]) -> float:
    """P(T ≥ t) for effects (n,) among controls (n, m).

    Raises ValueError without images or for an image without controls.
    """
    sizes = np.isfinite(controls).sum(1)
    if not len(effects) or not (sizes > 0).all():
        raise ValueError("a rank test needs images, each with at least one control")
    null = np.ones(1)
    for m in sizes:
        null = np.convolve(null, np.full(int(m) + 1, 1 / (int(m) + 1)))
    total = int(ranks(effects, controls).sum())
    # The smaller tail is summed: a sum over almost everything would round a p of 1e-17 to zero or to 1e-16.
    return float(min(1.0, null[total:].sum()))
