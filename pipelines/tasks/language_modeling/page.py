"""The report of a language model, made of the report's sections."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ikelos.pipelines.report import figures
from ikelos.pipelines.report.machine import machine_table
from ikelos.pipelines.report.sections import (
    Column,
    Headline,
    Picture,
    Sample,
    Samples,
    Section,
    Surprisal,
    Table,
    Tile,
)
from ikelos.pipelines.tasks.language_modeling.config import Config


def build(
    config: Config,
    results: dict[str, Any],
    history: Sequence[dict[str, Any]],
    *,
    passage: Sequence[bytes],
    passage_nats: np.ndarray,
    passage_of: str,
    samples: Sequence[str],
) -> tuple[str, dict[str, Any], list[Section]]:
    """Title, all figures, and the sections of the page.

    Args:
        config: The recipe.
        results: What `evaluate` and `baselines` gave, and the machine.
        history: The stage's `history.jsonl`.
        passage: The beginning of a held-out document, token by token.
        passage_nats: What each of these tokens cost the model.
        passage_of: Name of the document.
        samples: Texts of the model, one for each of the recipe's prompts.
    """
    model = results["model"]
    last = history[-1]
    training = {
        "steps": last["step"],
        "tokens": last["units"],
        "minutes": last["seconds"] / 60,
        "tokens_per_second": last["units"] / last["seconds"],
    }
    bars = _bars(config, results, training["minutes"])
    facts = {
        **results,
        "training": training,
        "peers": [peer.model_dump() for peer in config.evaluation.peers],
        "recipe": config.model_dump(mode="json"),
    }
    sections: list[Section] = [
        Headline(tiles=_tiles(results, training)),
        Picture(
            heading="Against baselines and peers",
            prose=[
                f"Cost of a character of the held-out text ({model['characters']:,} characters). Each is predicted "
                f"once, in windows of {model['context']} tokens of which {model['stride']} are counted, so from at "
                f"least {model['context'] - model['stride']} tokens before it where there are so many. The n-gram "
                "model was fitted on the same training text; its order was chosen on the validation text. The peers' "
                "figures and minutes are those that the recipe names.",
            ],
            figure=figures.comparison(bars, "nats per character"),
            alt="Nats per character: " + "; ".join(f"{bar.label} {bar.value:.3f}" for bar in bars),
        ),
        _documents(results),
        Picture(
            heading="Training",
            prose=[f"{training['tokens']:,} tokens seen, {training['tokens_per_second']:,.0f} a second."],
            figure=figures.training_curves(history, config.training.clip_norm, "nats per token"),
            alt="Loss, gradient norm with clipped steps, and learning rate over the training steps.",
        ),
        *_samples(config, samples),
        Surprisal(
            heading="Where it is surprised",
            prose=[f"The beginning of “{passage_of}”, which it never saw, shaded by what each token cost."],
            pieces=[token.decode("utf-8", "replace") for token in passage],
            nats=passage_nats.tolist(),
        ),
        machine_table(results),
    ]
    return f"Language model: {_source(config)}", facts, sections


def _samples(config: Config, texts: Sequence[str]) -> list[Samples]:
    """One section, or none where the recipe has no prompts."""
    recipe = config.evaluation.samples
    if not recipe.prompts:
        return []
    return [
        Samples(
            heading="What it writes",
            prose=[
                f"Temperature {recipe.temperature:g}, top-k {recipe.top_k}, top-p {recipe.top_p:g}; the first "
                f"{len(texts)} seeds, none picked by hand."
            ],
            samples=[
                Sample(f"seed {seed}", prompt, text.removeprefix(prompt))
                for seed, (prompt, text) in enumerate(zip(recipe.prompts, texts, strict=True))
            ],
        )
    ]


def _source(config: Config) -> str:
    return config.data.source.tfds or "files"


def _tiles(results: dict[str, Any], training: dict[str, Any]) -> list[Tile]:
    model = results["model"]
    ngram = min(figures["nats_per_character"] for figures in results["baselines"].values())
    return [
        Tile(f"{model['nats_per_character']:.3f}", "nats per character", f"n-gram model: {ngram:.3f}"),
        Tile(f"{model['bits_per_character']:.3f}", "bits per character"),
        Tile(
            f"{training['minutes']:.1f} min",
            "of training",
            f"on a machine with {results['machine']['sgemm_gflops']:.0f} GFLOP/s",
        ),
        Tile(f"{training['tokens'] / 1e6:.2f} M", "tokens seen", f"{training['steps']:,} steps"),
        Tile(f"{model['parameters'] / 1e6:.2f} M", "parameters"),
    ]


def _bars(config: Config, results: dict[str, Any], minutes: float) -> list[figures.Bar]:
    name = f"Ikelos {config.model.architecture}, {config.model.num_layers} layers, {config.model.size} wide"
    return [
        figures.Bar(name, results["model"]["nats_per_character"], minutes, "ours"),
        *(
            figures.Bar(label, values["nats_per_character"], values["minutes"], "baseline")
            for label, values in results["baselines"].items()
        ),
        *(figures.Bar(peer.name, peer.nats_per_character, peer.minutes, "peer") for peer in config.evaluation.peers),
    ]


def _documents(results: dict[str, Any]) -> Table:
    """The first documents, ours beside the baselines'; a set of thousands is no table."""
    shown = 20
    documents = list(results["model"]["documents"].items())
    baselines = results["baselines"]
    hidden = len(documents) - shown
    return Table(
        heading="By document",
        prose=[f"The first {shown}; report.json has {hidden} more."] if hidden > 0 else [],
        columns=[
            Column("Document"),
            Column("Characters", ",d"),
            Column("Nats per character", ".3f"),
            Column("Bits per character", ".3f"),
            *(Column(f"{label}, nats", ".3f") for label in baselines),
        ],
        rows=[
            [
                name,
                values["characters"],
                values["nats_per_character"],
                values["bits_per_character"],
                *(figures["documents"][name]["nats_per_character"] for figures in baselines.values()),
            ]
            for name, values in documents[:shown]
        ],
    )
