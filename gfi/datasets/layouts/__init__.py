"""Folder layouts by which a dataset is recognised, one file per layout."""
