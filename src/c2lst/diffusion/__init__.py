"""Diffusion on image tensors: networks, noise, training and sampling.

Nothing here knows files of spatial transcriptomics.
"""
