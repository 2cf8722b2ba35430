"""The one text encoder: every text in CrossRec becomes a vector here and nowhere else."""

from services.text.cache import VectorCache
from services.text.encoder import TextEncoder
from services.text.errors import EncoderMismatch
from services.text.protocol import TEXT_DIMS, Encoder, HashingEncoder

__all__ = ["TEXT_DIMS", "Encoder", "EncoderMismatch", "HashingEncoder", "TextEncoder", "VectorCache"]
