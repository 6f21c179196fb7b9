"""Text: representations, adaptation of pretrained language models, in-context learning."""
