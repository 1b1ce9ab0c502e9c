"""Images: read from data sets and files, moved, drawn, looked at, and in and out of a graph as files."""
