"""The classifier of `gfi demo`: a model file, its network and its weights."""
