"""Recipe sections that audio tasks share. Imports nothing heavy."""

from ikelos.pipelines.data.config import Source
from ikelos.pipelines.recipe.sections import Positive


class AudioSource(Source):
    """Recordings of speech with transcripts.

    A `.tsv` file has a recording in each line: the path of a WAV, FLAC or Ogg file, relative to the folder of the
    table, a tab and the transcript. A single such file is divided by `splits` too: a hash of the transcript decides a
    recording's split. TFRecords have the bytes of the audio file in the audio feature.

    Attributes:
        audio_feature: Name of the feature with the audio, the bytes of a file or integer samples of one channel; ignored
            for tables.
        text_feature: Name of the feature with the transcript, a text or a class with a name; ignored for tables.
        group_feature: Name of a text feature whose values are groups that are also measured separately; null for none,
            and ignored for tables.
        feature_rate: Samples per second, for a data set with samples that does not tell it; else null.
    """

    audio_feature: str = "audio"
    text_feature: str = "text"
    group_feature: str | None = None
    feature_rate: Positive | None = None
