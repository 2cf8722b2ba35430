"""Builds the text encoder: chooses a sentence encoder by the texts, exports it, fits a projection on the texts."""

from export.text_encoder.build import build_encoder
from export.text_encoder.projection_fit import fit_projection
from export.text_encoder.sentence_encoders import export_base_encoder

__all__ = ["build_encoder", "export_base_encoder", "fit_projection"]
