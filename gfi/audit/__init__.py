"""The audit: findings about what a model looks at, screened on one half of the images and confirmed on the other.

    split            which half an image belongs to
    grids, places    masks brought to a common size; rectangles of the network's view
    local_peaks      S1: a place where the masks of one class peak        class_null: the classes as the null
    off_object       S2: mask mass outside the boxes
    clusters         S3: a part of a class with masks of another shape
    same_pixels      S4: the same pixels in many images of a class
    properties       S5: pixel properties (gfi.domain.pixel_properties) and columns; property_words says them
    candidates       what the screens propose, at most fifty
    plan, fills, confirmation   which image, place, controls and fills; what the network answers
    training_images  whether the pixels of a shortcut are in the images that the model was trained on
    rank_test, bounds, false_discovery   the statistics
    verdicts, findings, sentences   what is said, and what is the same finding in another run
    limits           what would have been found

Nothing here loads torch. Confirmation calls `predict(images) -> probabilities`, which a worker supplies.
"""
