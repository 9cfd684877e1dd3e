"""The basis of all rooms: vocabulary, memory layout, checks, threads, signals, writing of files."""
