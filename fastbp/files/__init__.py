"""The file format: safetensors with one JSON document, read with distrust."""
