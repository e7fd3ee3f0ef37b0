"""Our own recipe, within the paper's idea: a rectified combination of the network's own features, optimised until the
kept part has the class and the removed part loses it.

The map starts as Grad-CAM's at l0 and is moved by signed weights of the channels of l0 and of the finer grid before it,
each less its mean:

    g(ω) = Grad-CAM + Σ_i ω_i φ_i,   φ_i = f_i − mean f_i,   m = max(0, g)/max g

    min over ω of   Σ_ap −log(f_c(Φ(x, m_a)) + ε f_c(x)) + λ log(f_c(Φ_bg(x, m_a)) + ε f_c(x))

m_a is g behind a soft threshold at its own a-quantile, for the highest 5, 15, 35 and 60 % of the map; p is
the blurred image and the mean colour. A step takes the gradient for one area a and one fill p. After a
cycle of all eight the weights move by plain descent along the average of the normalised gradients, in a
step of fixed size on the map: Grad-CAM's map is bent, never washed out. Four cycles at most.

    start           Grad-CAM's map, ω = 0                  GradCamStart
    objective       log-odds of kept and removed part      LogContrast
    step            descent measured on the map            MapRelativeDescent
    normalisation   rectified                              Rectified

An image is done when its mask has settled: when it changed by at most 0.04 on average over its cells in a
cycle. One that still moves when its steps end has the status `not_settled`. Measured in docs/decisions 8 to
10 and by `make bench-quality`.
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
