"""Datasets of photographs: list them, fetch their bytes, decode them, and read their labels and boxes.

    source = open_source("photos/", settings)       datasets.sources
    for listed in source.list(): ...                key, size, version, label, boxes
    fetched = source.fetch(listed.key, listed.version)
    photograph = decode(fetched.data)               datasets.decode

A job freezes the listing into a Parquet manifest (datasets.manifest) before anything is explained, so
that a row number means the same image for every worker and every retry. Nothing in this package loads torch.
"""
