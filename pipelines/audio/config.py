"""Recipe sections that audio tasks share. Imports nothing heavy."""

from typing import Annotated

from pydantic import Field

from ikelos.pipelines.data.config import Source
from ikelos.pipelines.recipe.sections import BelowOne, NonNegative, NonNegativeFloat, Positive, Section


class AudioSource(Source):
    """Recordings of speech with transcripts.

    A `.tsv` file has a recording in each line: the path of a WAV, FLAC or Ogg file, relative to the folder of the
    table, a tab and the transcript. A single such file is divided by `splits` too: a hash of the transcript decides a
    recording's split. TFRecords have the bytes of the audio file in the audio feature.

    Attributes:
        audio_feature: Name of the feature with the audio, the bytes of a file or integer samples of one channel;
            ignored for tables.
        text_feature: Name of the feature with the transcript, a text or a class with a name; ignored for tables.
        group_feature: Name of the feature with the groups that are also measured separately, a text or a class with a
            name; null for none, and ignored for tables.
        feature_rate: Samples per second, for a data set with samples that does not tell it; else null.
    """

    audio_feature: str = "audio"
    text_feature: str = "text"
    group_feature: str | None = None
    feature_rate: Positive | None = None


class Emphasis(Section):
    """A group of recordings that is drawn more often in training.

    Attributes:
        group: Name of the group.
        times: How often a recording of it is drawn for each time that another one is drawn.
        joined: How often it is also drawn with one or two others of the group after it, which keeps a network from
            learning the recordings of a small group by heart. Examples that get too long are left out. It must be 0 if
            the vocabulary has no space, which stands between the texts.
    """

    group: str
    times: Positive
    joined: NonNegative


class SpeechModel(Section):
    """`ikelos.layers.LSTMSpeechModel`.

    Attributes:
        num_layers: Number of layers of LSTMs in both directions.
        size: Units of an LSTM in each direction.
        sequence_length: Samples in a frame of the spectrogram.
        sequence_stride: Samples from the start of a frame to that of the next; the LSTMs read every fourth frame.
        fft_length: Points of the Fourier transform.
        num_mel_bins: Mel bands of the spectrogram.
        filters: Channels of the two convolutions.
        freq_mask_size: Largest number of bands in each of the two masks in training.
        time_mask_share: Largest share of the frames in each of the two masks in training.
        freq_warp: As in `ikelos.layers.SpectrogramWarp`, in training.
        time_warp: As there, below 0.25.
        dropout: Dropout rate of each layer's inputs and of the last outputs.
    """

    num_layers: Positive
    size: Positive
    sequence_length: Positive
    sequence_stride: Positive
    fft_length: Positive
    num_mel_bins: Positive
    filters: Positive
    freq_mask_size: NonNegative
    time_mask_share: BelowOne
    freq_warp: BelowOne
    time_warp: Annotated[float, Field(ge=0, lt=0.25)]
    dropout: BelowOne


class Search(Section):
    """The search for the likeliest text, `ikelos.layers.decoding.ctc_beam_search`.

    Attributes:
        num_beams: Prefixes in the beam.
        language_model_weight: Weight of the language model's log-probability; 0 leaves it out.
        token_bonus: Added for each token.
    """

    num_beams: Positive
    language_model_weight: NonNegativeFloat
    token_bonus: float


def check_spectrogram(model: SpeechModel, sampling_rate: int) -> None:
    """Raises ValueError if the spectrogram of a model cannot be computed from audio of a sampling rate in Hz."""
    if model.fft_length < model.sequence_length:
        raise ValueError(
            f"`model.fft_length` must be at least model.sequence_length={model.sequence_length}. "
            f"Received: model.fft_length={model.fft_length}"
        )
    # The lowest band of `LogMelSpectrogram` is the narrowest one.
    width = 700 * ((1 + sampling_rate / 1400) ** (2 / (model.num_mel_bins + 1)) - 1)
    if width <= sampling_rate / model.fft_length:
        raise ValueError(
            "`model.num_mel_bins` must be so small that each band has a point of the Fourier transform. "
            f"Received: model.num_mel_bins={model.num_mel_bins}, model.fft_length={model.fft_length}"
        )
