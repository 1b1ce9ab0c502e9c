"""What tasks on audio share: reading, preparation, batches, recognition and WAV files in the graph, report sections."""
