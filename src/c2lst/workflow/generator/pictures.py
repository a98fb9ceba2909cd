"""Figures of an evaluation of a generator. They show real patches: for where these may be kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from c2lst.evaluation.cluster_sheets import cluster_rows, draw_sheet, write_figure
from c2lst.evaluation.conditioning import SYNTHETIC, Followed
from c2lst.progress import logger
from c2lst.workflow.generator.evidence import HELD_OUT, TRAINING, Evidence

CLUSTERS_PNG, ROUND_TRIP_PNG = "clusters.png", "round_trip.png"
EMBEDDING_PNG, GALLERY_PNG, NUCLEI_PNG = "embedding.png", "gallery.png", "nuclei.png"
MISSING_PNG, MISSING_CSV = "missing_genes.png", "missing_genes.csv"
SHOWN = 9


def draw_all(
    output: Path, evidence: Evidence, clusters: np.ndarray, followed: list[Followed], *, umap: bool
) -> None:
    """Write all figures but that of missing genes, which needs patches of its own.

    Parameters
    ----------
    output
        Folder.
    evidence
        Patches and what is read of them.
    clusters
        int ``(n,)``: expression cluster of each training spot.
    followed
        What was read back.
    umap
        Whether UMAP is wanted where it is installed.
    """
    from c2lst.evaluation.cells.overlay import draw_overlay
    from c2lst.evaluation.conditioning_figure import draw_round_trip

    sheet = cluster_rows(
        clusters,
        evidence.scaled,
        evidence.genes,
        evidence.images[TRAINING],
        evidence.images[SYNTHETIC],
        evidence.rows,
        seed=evidence.seed,
    )
    write_figure(output / CLUSTERS_PNG, draw_sheet(sheet, evidence.patch_um))
    write_figure(output / ROUND_TRIP_PNG, draw_round_trip(followed))
    logger.info("evaluate: maps of the patches")
    _embedding(output / EMBEDDING_PNG, evidence, clusters, umap)
    shown, spots = _chosen(evidence)
    _gallery(output / GALLERY_PNG, evidence, shown, spots)
    found = evidence.nuclei
    rows = {
        name: (np.asarray(evidence.images[key][some]), found.segment(key, some))
        for name, key, some in (("real", TRAINING, spots), ("synthetic", SYNTHETIC, shown))
    }
    figure = draw_overlay(rows, evidence.patch_um, found.label, found.kinds)
    write_figure(output / NUCLEI_PNG, figure)


def _chosen(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Choose synthetic patches at random, of different spots; returns them and their spots."""
    rng = np.random.default_rng((evidence.seed, 23))
    spots = np.sort(rng.permutation(len(evidence.training))[:SHOWN])
    return evidence.draws[0][spots], spots


def _embedding(path: Path, evidence: Evidence, clusters: np.ndarray, umap: bool) -> None:
    from c2lst.evaluation.embedding import embed
    from c2lst.evaluation.embedding_figure import draw_embeddings

    look, features = next(iter(evidence.looks.items()))
    real = np.concatenate([features[TRAINING], features[HELD_OUT]])
    maps = embed(real, features[SYNTHETIC], umap=umap, seed=evidence.seed)
    of_real = np.concatenate([clusters, np.full(len(features[HELD_OUT]), -1)])
    write_figure(path, draw_embeddings(maps, of_real, clusters[evidence.rows], look))


def _gallery(path: Path, evidence: Evidence, shown: np.ndarray, spots: np.ndarray) -> None:
    from c2lst.evaluation.gallery import draw_gallery, nearest

    look, features = next(iter(evidence.looks.items()))
    found = nearest(
        features[SYNTHETIC][shown], np.concatenate([features[TRAINING], features[HELD_OUT]])
    )
    names = np.concatenate([evidence.training.barcodes, evidence.held_out.barcodes])
    figure = draw_gallery(
        np.asarray(evidence.images[SYNTHETIC][shown]),
        evidence.images[TRAINING][spots],
        np.concatenate([evidence.images[TRAINING], evidence.images[HELD_OUT]]),
        found,
        names,
        evidence.training.barcodes[spots],
        look,
        evidence.patch_um,
    )
    write_figure(path, figure)
