"""Any file that a user may call a model: what it is, and the weights in it, nothing run.

Within this folder the message of a `CheckpointError` is a predicate ("is torn ..."): the functions
of `contents`, which are nearly all that others use, put the file's name in front.
"""
