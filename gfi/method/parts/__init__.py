"""What a recipe is made of: where the weights start, what is minimised, how a step moves, how a map becomes a mask.

    starts           ω_0, and a map below it
    objectives       the losses of stage 1 (Eq. 8) and stage 2 (Eq. 9, or a contrast)
    penalties        ‖ω‖
    adam, map_relative_descent   steps
    normalisations   from the map to the mask (Eq. 7)

Each part is a small class that bears its equation, and is chosen by a field of the recipe. A new part is a class and an
entry in the table of its file.
"""
