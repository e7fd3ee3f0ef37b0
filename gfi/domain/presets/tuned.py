"""Our own recipe, within the paper's idea: a rectified combination of the network's own features, optimised until the
kept part of the image has the class and the removed part has lost it.

The map starts as Grad-CAM's at l0. Signed weights of the channels of l0 and of the finer grid before it, each channel
less its mean, change it:

    g(ω) = Grad-CAM + Σ_i ω_i φ_i,   φ_i = f_i − mean f_i,   m = max(0, g)/max g

    min over ω of   Σ_ap −log(f_c(Φ(x, m_a)) + ε f_c(x)) + λ log(f_c(Φ_bg(x, m_a)) + ε f_c(x))

m_a is g behind a soft threshold at its own quantile, for a = the highest 5, 15, 35 and 60 % of the map; p is the
blurred image and ImageNet's mean colour. Each step computes the gradient for one pair of a and p. After a cycle of all
eight pairs the weights move once, by gradient descent along the average of the eight normalised gradients, by a step
whose size is relative to the map, so that Grad-CAM's map is modified and not replaced. There are four cycles at most.

    start           Grad-CAM's map, ω = 0                  GradCamStart
    objective       log-odds of kept and removed part      LogContrastLoss
    step            descent relative to the map            MapRelativeDescent
    normalisation   rectified                              Rectified

An image is done when its mask has settled: when a cycle changed it by at most 0.04 on average over its cells. An image
whose mask still moves after four cycles has the status `not_settled`: none of 111 photographs on EfficientNet-Lite0, of
which 80 took two cycles, 28 three and 3 four. Quality is measured in docs/decisions/0008 to 0010 and by
`make bench-quality`.
"""

from gfi.domain.recipes import Recipe

RECIPE = Recipe(
    "tuned",
    # start
    start="grad-cam",
    signed=True,
    two_grids=True,
    centred=True,
    # objective
    steps_inversion=0,
    objective="contrast",
    levels=(0.05, 0.15, 0.35, 0.6),
    softness=0.4,
    fill="blur",
    second_fill="mean",
    # step
    search="relative",
    rate=0.5,
    halve_every=8,
    steps_class=32,
    check_every=8,
    settled=0.04,
    # normalisation
    normalise="rectified",
)
