"""Errors of the text encoder."""

from services.errors import CrossRecError


class EncoderMismatch(CrossRecError):
    """An encoder's files are not the ones it was built from, so its vectors could not be trusted."""
