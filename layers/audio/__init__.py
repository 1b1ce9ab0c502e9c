"""Layers for speech, and the loss of connectionist temporal classification (CTC).

`ikelos.layers.decoding.ctc_greedy` and `ctc_beam_search` turn the logits of a model that was trained with `ctc_loss`
into tokens.
"""

from ikelos.layers.audio.ctc_loss import ctc_loss, ctc_min_frames

__all__ = ["ctc_loss", "ctc_min_frames"]
