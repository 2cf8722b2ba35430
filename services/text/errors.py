"""Errors of the text encoder."""

from services.runtime.errors import CrossRecError


class EncoderMismatch(CrossRecError):  # noqa: N818 - named after what is wrong
    """An encoder's files are not the ones it was built from, so its vectors could not be trusted."""
