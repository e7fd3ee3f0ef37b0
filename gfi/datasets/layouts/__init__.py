"""Layouts of folders that a dataset is recognised by, one file a layout."""
