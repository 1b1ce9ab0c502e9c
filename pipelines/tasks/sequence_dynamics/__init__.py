"""What recurrent networks and Transformers can learn over long distances, and how fast they are, measured."""
