"""What all rooms build on: vocabulary, memory layout, checks, threads, signals, files written."""
