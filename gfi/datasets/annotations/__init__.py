"""Annotations of images: boxes, in the usual file formats."""
