"""`Network`, the public class, and traces and equations of its computations."""
