"""The former name of `gfi.client`, kept for programs written for version 0.1."""

from gfi.client import ApiError as ApiError
from gfi.client import Client as Client
