"""The parts that a recipe is made of, each a small class or function with its equation.

    starts           the first weights ω, and the map they are added to
    objectives       the losses of stage 1 (Eq. 8) and of stage 2 (Eq. 9, or a contrast of logarithms)
    penalties        the size of the weights, ‖ω‖
    steps            how the weights move: adam, map_relative_descent
    normalisations   from the map to the mask (Eq. 7)

A field of the recipe chooses each part by a table at the end of its file. A new part is a class and an entry there,
and its word in the field's type in `gfi.domain.recipes`.
"""
