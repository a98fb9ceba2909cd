"""Diff-ST: super-resolving maps of expression under guidance of the histology image.

Method of Wang, Huang, Price and Li, "Cross-modal Diffusion Modelling for Super-resolved Spatial
Transcriptomics" (MICCAI 2024, arXiv 2404.12973), as a system of its own. What goes in and out::

    build        a source → SuperresMaps (counts of small bins, image, tissue; µm)
    lowres       maps or a section → LowRes (counts of spots, image): what a model is given
    windows      maps → training windows; settings, crops, graph, scaling: how they are shown
    network      windows and noise → predicted target, variance (blocks, loss)
    training     windows, network → weights, by the one trainer of c2lst.diffusion
    sampling     network → maps of whole sections (tiles, consistency)
    model        SuperresModel: train, save, load, predict → SuperresPrediction
    store        SuperresPrediction → AnnData or SpatialData on disk
    evaluate     model, maps → metrics and uncertainty beside the baselines, figures

Arrows run down: a module knows those above it alone.
"""
