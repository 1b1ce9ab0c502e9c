"""Audio: reading files, decoding WAV files in the graph, and resampling."""
