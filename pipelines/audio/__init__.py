"""Audio: reading, preparation, batches, WAV files and recognition in the graph, and report sections."""
