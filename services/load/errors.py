"""What can go wrong with a load run as a whole; a request that fails is a result, not an error."""

from services.errors import CrossRecError


class LoadFailed(CrossRecError):
    """The run cannot start or go on: no server answers, or a client process ended."""
