"""The training of one network: sources of samples, the loop over epochs, callbacks, checkpoints."""
