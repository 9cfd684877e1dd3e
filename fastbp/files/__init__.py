"""The file format: safetensors with a JSON document, which need not be trusted."""
