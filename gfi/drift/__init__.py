"""Comparisons of two jobs: distances of masks, noise floors, verdicts, gates. No torch, no network.

    distances      how far two masks of one image are apart
    sorted_tables  external sort and merge join of streams of tables
    pairs          the results of two jobs, matched by key, version and target
    floors         how far masks differ when nothing has changed
    binomial       exact tests and bounds of a share
    verdicts       pass, fail or undecided: for a class, and for all classes together
    comparison     everything that is known of two jobs, from the stream of their pairs
    sentences      the same in words
    two_sample     new images without pairs: a classifier two-sample test
    spending       the error that each night of a nightly gate may spend
    gate           the file that says what is tolerated; `gate_verdict` applies it, `junit` writes it for a CI
    incremental    which images of a new listing have to be explained, and which results can be kept

`gfi.jobs.compare` reads two finished jobs and calls these; docs/drift.md is for who uses them.
"""
