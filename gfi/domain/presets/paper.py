"""The method as printed: Du, Liu, Song, Hu, KDD 2018, arXiv 1804.00506, Eq. 2-9 and Table 2.

Stage 1 (Eq. 8) finds what the network kept of the image x, whatever its class:

    min over ω ≥ 0 of   ‖f^{l0}(Φ(x, m)) − f^{l0}(x)‖² + γ‖ω‖₁            γ = 10, 10 steps

Stage 2 (Eq. 9) starts from those weights and optimises for the target class c:

    min over ω ≥ 0 of   −f_c(Φ(x, m)) + λ f_c(Φ_bg(x, m)) + δ‖ω‖₁         λ = 1, δ = 1, 70 steps

with the mask m = (g − min g)/(max g − min g), g = Σ_i ω_i f_i^{l1}(x), up-sampled to the input (Eq. 6-7).

    start           ω_i = 0.1                     UniformStart
    objective       Eq. 8, then Eq. 9             FeatureInversionLoss, ClassProbabilityLoss
    step            Adam, rate 0.01, halved every 10 steps of stage 2, clipped to ω ≥ 0
    normalisation   min-max on the grid           GridMinMax
    fill            x blurred, σ = 11

Adam moves a weight by at most about 0.01 per step, and 10 steps of 0.01 are 0.1: a weight without evidence reaches
exactly zero at the end of stage 1. All 80 steps always run, and whether the mask has settled is never checked.
"""

from gfi.domain.recipes import Recipe

RECIPE = Recipe(
    "paper",
    # start
    start="even",
    omega_start=0.1,
    # objective
    steps_inversion=10,
    gamma=10.0,
    objective="probability",
    steps_class=70,
    lambda_=1.0,
    delta=1.0,
    penalty="l1",
    # step
    search="adam",
    rate=0.01,
    halve_every=10,
    # normalisation
    normalise="grid",
    # fill
    fill="blur",
    blur_radius=11.0,
)
