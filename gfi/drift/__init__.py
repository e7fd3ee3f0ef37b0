"""Comparisons of two jobs: distances of masks, noise floors, verdicts, gates. No torch, no network.

    distances      the distance between two masks of one image
    sorted_tables  external sort and merge join of streams of tables
    pairs          the results of two jobs, matched by key, version and target
    floors         the differences of masks when nothing has changed
    run_spread     how much the moved masks vary between training runs
    binomial       exact tests and bounds of a share
    verdicts       pass, fail or undecided: for a class, and for all classes together
    comparison     the results of a comparison, from the stream of the pairs of two jobs
    sentences      the results in words
    two_sample     new images without pairs: a classifier two-sample test
    spending       the significance level of each comparison of a nightly gate
    gate           the file of limits; `gate_verdict` applies it, `junit` writes the verdict for a CI system
    incremental    which images of a new listing have to be explained, and which results can be kept

`gfi.jobs.compare` reads two finished jobs and calls these; docs/drift.md describes their use.
"""
