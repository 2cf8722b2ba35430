"""The text encoder: all texts of CrossRec become vectors here."""

from services.text.cache import VectorCache
from services.text.encoder import TextEncoder
from services.text.protocol import TEXT_DIMS, Encoder, EncoderMismatch, HashingEncoder

__all__ = ["TEXT_DIMS", "Encoder", "EncoderMismatch", "HashingEncoder", "TextEncoder", "VectorCache"]
