"""Other words for the same sound: what a sentence means, how it can be rewritten, and its labels in other languages."""
