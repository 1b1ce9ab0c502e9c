"""Language models from their recipe sections, and their training."""

from collections.abc import Callable, Sequence

import keras

from ikelos.layers import LSTMLanguageModel, TransformerLanguageModel
from ikelos.pipelines.console import Progress, say
from ikelos.pipelines.data.examples import Batch
from ikelos.pipelines.data.order import mapped
from ikelos.pipelines.data.store import Ragged, Splits
from ikelos.pipelines.metric import Metric
from ikelos.pipelines.recipe.sections import Training
from ikelos.pipelines.text import windows
from ikelos.pipelines.text.model_sections import LSTM, Ngrams, Transformer
from ikelos.pipelines.training.losses import Crossentropy
from ikelos.pipelines.training.stage import Feed, Models, Stage


def build(settings: Transformer | LSTM, vocabulary_size: int, name: str) -> keras.Model:
    """Returns an untrained language model, built; its n-grams are not counted yet."""
    arguments = settings.model_dump(exclude={"architecture", "ngrams"})
    if found := ngrams(settings):
        arguments |= found.model_dump(include={"max_ngrams", "longest_match"}) | {"ngram_order": found.order}
    model_class = TransformerLanguageModel if isinstance(settings, Transformer) else LSTMLanguageModel
    model = model_class(vocabulary_size, **arguments, name=name)
    model.build((None, settings.context))
    return model


def stage(
    name: str,
    training: Training,
    build: Callable[[Models], keras.Model],
    feed: Callable[[Splits, Models], Feed],
) -> Stage:
    """Returns the stage in which a model learns to predict the next token; the arguments are those of `Stage`."""
    return Stage(
        name=name,
        training=training,
        build=build,
        feed=feed,
        unit="tokens",
        metric=Metric("loss", "nats per token"),
        loss=Crossentropy(),
    )


def feed(
    train: Ragged,
    validation: Ragged,
    context: int,
    training: Training,
    validation_batch_size: int,
    buckets: Sequence[int] | None = None,
    prepare: Callable[[Batch], Batch] | None = None,
) -> Feed:
    """Returns the feed of windows of some documents.

    Args:
        train: Tokens of the training documents.
        validation: Tokens of the validation documents.
        context: Tokens in a window.
        training: Training settings with the batch size and the seed.
        validation_batch_size: Windows in a validation batch.
        buckets: Boundaries as for `windows.bucketed`; None for windows of full length, which span documents.
        prepare: Function, run in the graph, from a batch of `windows` to an element of a `Feed`; None for no change.

    Raises:
        UserError: As `windows.packed`, `windows.bucketed` and `windows.strided`.
    """
    size, seed = training.batch_size, training.seed
    if buckets is None:
        row = float(context)

        def batches(step, shard):
            return windows.packed(train.values, context, size, seed, step, shard)
    else:
        rows = windows.pieces(train, context)
        row = len(train.values) / len(rows)

        def batches(step, shard):
            return windows.bucketed(rows, buckets, size, seed, step, shard)

    def prepared(dataset):
        return dataset if prepare is None else mapped(dataset, prepare)

    return Feed(
        train=lambda step, shard: prepared(batches(step, shard)),
        # Windows that don't overlap take half the time, and compare epochs just as well.
        validation=prepared(windows.strided(validation, context, context, validation_batch_size)),
        units_per_step=round(row * size),
        units=len(train.values),
    )


def ngrams(settings: Transformer | LSTM) -> Ngrams | None:
    """Returns the section of a model's n-grams; None for a model without n-grams."""
    return settings.ngrams if isinstance(settings, Transformer) else None


def count(settings: Transformer | LSTM, model: keras.Model, documents: Ragged) -> None:
    """Counts the n-grams of the training text, if the model has any, and prints a line if some had to be dropped."""
    found = ngrams(settings)
    if found is None:
        return
    with Progress("counting n-grams"):
        longest = model.adapt(documents.head(found.max_tokens))
    if longest < found.order:
        say(f"n-grams of more than {longest} tokens are dropped: model.ngrams.max_ngrams leaves no room for them")
