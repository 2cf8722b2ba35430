"""What can be wrong with training a recogniser."""

from services.errors import CrossRecError


class RecognitionError(CrossRecError):
    """The data set holds nothing that recognition could be learnt or measured on."""
