"""The basis of all rooms: vocabulary, memory layout, checks, threads, signals, progress, files."""
