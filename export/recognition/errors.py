"""What can be wrong with training a recogniser."""

from services.runtime.errors import CrossRecError


class RecognitionError(CrossRecError):
    """The data set holds nothing that recognition could be learnt or measured on."""
