"""Layers for speech, and the loss of connectionist temporal classification (CTC)."""

from ikelos.layers.audio.ctc_loss import ctc_loss, ctc_min_frames

__all__ = ["ctc_loss", "ctc_min_frames"]
