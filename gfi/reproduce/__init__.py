"""The paper's experiments, from a directory in its published layout to the paper's table with ours beside it.

    imagenet_localisation   ILSVRC validation images with their boxes: localisation error
    voc_pointing            VOC07 test: pointing game, for every label of every image
    salient_objects         MSRA-B: stage-1 masks as salient-object maps
    adversarial             FGSM: does the mask of the original class still land on the object?

An experiment lists its images (`Listing`), asks for ordinary jobs over them (`Ask`), and reads their masks from the
parts (`gfi.reproduce.masks`). It computes its numbers itself, because a protocol counts every image: one without a
usable mask is an error, whatever its status, while the metrics of a job are means over `ok` images. torch is loaded by
`fgsm` alone.
"""
