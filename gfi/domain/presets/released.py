"""The method as the authors' released program runs it, which differs from the paper in nine places.

Stage 1   min over ω ≥ 0 of   ‖f^{l0}(Φ) − f^{l0}(x)‖² / ‖f^{l0}(x)‖² + γ Σω²        γ = 5, 11 steps
Stage 2   min over ω ≥ 0 of   −f_c(Φ) + λ f_c(Φ_bg) + δ Σω²                          λ = 1, δ = 2, 69 steps

                  paper                              released
inversion term    squared error                      divided by ‖f^{l0}(x)‖²
penalty           ‖ω‖₁, 10 then 1                    Σω², 5 then 2
normalisation     min-max, then up-sampled           up-sampled, then (m − min m)/max m
up-sampling       corners not aligned                corners aligned
layers            l1 before l0                       one layer for both
stages            10 + 70 steps                      11 + 69 steps
Adam              a new one in stage 2               one throughout, halved every 10 steps from the first
preprocessing     resized to the input size          shorter side resized, then centre crop
blur              of the input                       of the full-resolution photograph

start           ω_i = 0.1                     UniformStart
objective       Eq. 8, then Eq. 9             FeatureInversionLoss, ClassProbabilityLoss
step            Adam, clipped to ω ≥ 0
normalisation   on the image                  ImageMax

All 80 steps always run, and whether the mask has settled is never checked.
"""

from gfi.domain.recipes import Recipe

RECIPE = Recipe(
    "released",
    # start
    start="even",
    omega_start=0.1,
    # objective
    steps_inversion=11,
    relative_inversion=True,
    gamma=5.0,
    objective="probability",
    steps_class=69,
    lambda_=1.0,
    delta=2.0,
    penalty="squares",
    # step
    search="adam",
    rate=0.01,
    halve_every=10,
    one_adam=True,
    # normalisation and layers
    normalise="image",
    align_corners=True,
    one_layer=True,
    # fill and input
    fill="blur",
    fill_from="photograph",
    blur_radius=11.0,
    resize="crop",
)
