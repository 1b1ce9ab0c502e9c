"""The recipe sections that tasks share, as frozen, strictly typed pydantic models.

Numbers have no defaults here: the recipe states all of them. A task's `Config(TaskConfig)` lists its sections as
fields. The top-level keys `task`, `description` and `from` are not among them: `ikelos.pipelines.recipe` removes them
before it validates the rest.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import pydantic
from pydantic import Field

if TYPE_CHECKING:
    from ikelos.serving import deploy

LARGEST = 2**31 - 1
"""Largest integer in a recipe: the product of two, such as step and batch size, must fit into 64 bits."""

Positive = Annotated[int, Field(gt=0, le=LARGEST)]
NonNegative = Annotated[int, Field(ge=0, le=LARGEST)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]


class Section(pydantic.BaseModel):
    """Base class of recipe sections: frozen, without unknown keys or conversions (`"12"` and `3.7` are not integers).

    A float may be written as an integer and must be finite. Declare sequences as tuples, so that a config is hashable.
    A rule for several fields is a validator that raises `ValueError("`field` must be .... Received: ...")`.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Optimizer(Section):
    """The settings of one optimizer.

    Attributes:
        kind: `adamw`: AdamW. `muon`: Muon for matrices and AdamW for all other weights.
        learning_rate: Peak learning rate, reached after `warmup_steps` of linear growth.
        warmup_steps: Steps of linear growth to the peak; 0 starts at the peak. If it exceeds the stage's steps, as in a
            short trial of a long recipe, training ends during the warm-up.
        final_learning_rate_ratio: Learning rate at the end of the cosine decay, as a share of the peak.
        weight_decay: Decoupled weight decay; 0 disables it.
        beta_1: Decay of the first moment. With Muon, it applies to the weights that AdamW updates.
        beta_2: Decay of the second moment. With Muon, it applies to the weights that AdamW updates.
        clip_norm: Largest global gradient norm; a longer gradient is scaled down to it.
    """

    kind: Literal["adamw", "muon"]
    learning_rate: PositiveFloat
    warmup_steps: NonNegative
    final_learning_rate_ratio: Fraction
    weight_decay: NonNegativeFloat
    beta_1: BelowOne
    beta_2: BelowOne
    clip_norm: PositiveFloat


class Optimizers(Section):
    """The optimizers of a stage by name: each field is an `Optimizer`.

    The optimizer `model` updates all weights. Any other name is that of a part of the model: the optimizer `generator`
    updates the weights of `model.generator` and is passed to `model.compile` as `generator_optimizer`.
    """


class OneOptimizer(Optimizers):
    """One optimizer for all weights.

    Attributes:
        model: The optimizer of all weights.
    """

    model: Optimizer


class AdversarialOptimizers(Optimizers):
    """One optimizer for each network of `ikelos.layers.AdversarialModel`.

    Attributes:
        generator: The optimizer of the generator.
        discriminator: The optimizer of the discriminator.
    """

    generator: Optimizer
    discriminator: Optimizer


class Training(Section):
    """The training settings of a stage. A stage with several optimizers needs a subclass with its own `optimizers`.

    Attributes:
        steps: Total number of training steps. It may be raised to continue a run: the learning rate then follows the
            schedule of the new total. After a finished training it jumps up to the value that this schedule has at that
            step, then decays again.
        batch_size: Examples (or packed windows) per step.
        seed: Random seed of the initial weights, the order of the data and the dropout.
        steps_per_epoch: Steps between two validations. An epoch has no other meaning.
        optimizers: One optimizer for the whole model, or one for each of its parts.
        ema_momentum: Momentum of the moving average of the weights, which is evaluated and exported; 0 disables it.
        early_stop_patience: Epochs without a better validation figure after which training stops; 0 disables it.
        checkpoint_every: Steps between two checkpoints.
        deterministic: Whether training is bitwise repeatable, which is slower.
        jit_compile: Whether the training step is compiled with XLA.
        profile_steps: First and last step of a profile that is kept for TensorBoard, or null. The native ops' share of
            a step, in the report, is measured in these steps; with null, in steps 8 to 10.
    """

    FREE: ClassVar[tuple[str, ...]] = ("checkpoint_every", "profile_steps")
    """Keys that may change when a run is continued: the weights do not depend on them."""
    GROWING: ClassVar[tuple[str, ...]] = ("steps",)
    """Keys whose value may grow when a run is continued."""

    steps: Positive
    batch_size: Positive
    seed: NonNegative
    steps_per_epoch: Positive
    optimizers: Optimizers
    ema_momentum: BelowOne
    early_stop_patience: NonNegative
    checkpoint_every: Positive
    deterministic: bool
    jit_compile: bool
    profile_steps: tuple[Positive, Positive] | None

    @pydantic.model_validator(mode="after")
    def _steps_are_ordered(self) -> Self:
        if self.profile_steps is not None and self.profile_steps[0] > self.profile_steps[1]:
            raise ValueError(
                "`profile_steps` must be a first and a last step, in this order. "
                f"Received: profile_steps={list(self.profile_steps)}"
            )
        return self


class PlainTraining(Training):
    """The training settings of a stage with one optimizer."""

    optimizers: OneOptimizer


class AdversarialTraining(Training):
    """The training settings of a generator and its discriminator.

    `ema_momentum` must be 0: `ikelos.layers.AdversarialModel` averages its generator itself.
    """

    optimizers: AdversarialOptimizers

    @pydantic.model_validator(mode="after")
    def _the_model_averages(self) -> Self:
        if self.ema_momentum:
            raise ValueError(
                f"`ema_momentum` must be 0, as the model averages its generator itself. "
                f"Received: ema_momentum={self.ema_momentum}"
            )
        return self


class Peer(Section):
    """Another model's figure, which the report shows beside this model's.

    Attributes:
        name: Name of the model, and the data it was trained and measured on.
        value: The model's value of the task's first metric.
        minutes: Minutes of training, null if unknown.
    """

    name: str
    value: float
    minutes: PositiveFloat | None


class Evaluation(Section):
    """The settings of the evaluation and the report.

    Attributes:
        peers: Other models' figures on the same data; null for the figures that Ikelos has for the data set, if any.
    """

    peers: tuple[Peer, ...] | None


class Export(Section):
    """The settings of the export.

    Attributes:
        enabled: Whether a run exports its model at the end.
        weights: Format in which an export stores the weights, and in which the model is evaluated: `float32`;
            `bfloat16`, of half the size; or `int8`, of a quarter. A server computes in float32 with all of them.
        max_rows: Most rows of a request; a larger batch is an error.
        warmup_batch_sizes: Numbers of rows of the requests with which a server warms up, in increasing order and none
            above `max_rows`. If it merges requests (`serving.batching`), it fills up batches to these sizes.
    """

    enabled: bool
    weights: Literal["float32", "bfloat16", "int8"]
    max_rows: Positive
    warmup_batch_sizes: tuple[Positive, ...]

    @pydantic.model_validator(mode="after")
    def _warmups_are_allowed(self) -> Self:
        sizes = self.warmup_batch_sizes
        if not sizes or list(sizes) != sorted(set(sizes)) or sizes[-1] > self.max_rows:
            raise ValueError(
                f"`warmup_batch_sizes` must be numbers up to max_rows={self.max_rows} in increasing order. "
                f"Received: warmup_batch_sizes={list(self.warmup_batch_sizes)}"
            )
        return self


class Blessing(Section):
    """The conditions under which a trained model is pushed to the servers.

    Attributes:
        worst: Worst value of the task's first metric with which a model is blessed; null blesses every value.
        better_than_last: Whether the model must also be better than the served one, measured on the same data.
    """

    worst: float | None
    better_than_last: bool


class Limit(Section):
    """The largest difference of a feature's values between two sets of examples.

    Attributes:
        feature: Name of the feature in the examples, such as `label` or `bytes`.
        distance: Largest Jensen-Shannon divergence of the distributions of its values, between 0 and 1.
    """

    feature: str
    distance: PositiveFloat


class Slices(Section):
    """A feature by whose values the held-out examples are divided into slices, each of which is measured.

    Attributes:
        feature: Name of the feature in the examples, such as `label`, `id` or `bytes`.
        worst: Worst value of the task's first metric that a blessed model may have in a slice; null only measures.
    """

    feature: str
    worst: float | None


class Skew(Section):
    """The comparison of logged requests with the training examples.

    Attributes:
        requests: Patterns of the files of logged requests, TFRecords of TensorFlow Serving's message PredictionLog.
        limits: Largest differences of the requests from the training examples, by feature.
    """

    requests: tuple[str, ...]
    limits: tuple[Limit, ...]

    @pydantic.model_validator(mode="after")
    def _names_files_and_features(self) -> Self:
        for name, value in self:
            if not value:
                raise ValueError(f"`{name}` must have at least one item. Received: {name}=[]")
        for pattern in self.requests:
            if "://" in pattern:
                raise ValueError(f"`requests` must be patterns of local files. Received: {pattern}")
        return self


class Pipeline(Section):
    """The settings of `ikelos pipeline`, null if the recipe is never one.

    Weights and figures do not depend on them, except that `warm_start` decides with which weights a pipeline begins.

    Attributes:
        schedule: When Airflow starts runs: a cron expression such as `0 3 * * 1`, or null to start them by hand.
        retries: How often Airflow starts a failed node again.
        timeout_minutes: Minutes after which Airflow ends a node.
        pool: Airflow's pool that limits how many tasks of all pipelines run at once; null takes the default pool.
        beam: Flags of Apache Beam, such as `[--runner=FlinkRunner, --parallelism=4]`; with none, data is read, analysed
            and prepared in this process.
        memory_gib: Memory of each node's container on Kubeflow, in GiB.
        cpus: Processors of each node's container on Kubeflow.
        examples_schema: Path of the schema (`.pbtxt`) that examples are checked against; null takes that of the task.
        warm_start: Whether new models begin with the weights of the model that is served when the data is prepared.
        drift: Largest differences from the training data of the served model, by feature.
        slices: Features whose values divide the held-out examples into slices; TensorFlow Model Analysis measures the
            first metric in each.
        skew: The comparison of logged requests with the training examples, or null.
        blessing: The conditions under which a trained model is pushed to the servers.
    """

    schedule: str | None
    retries: NonNegative
    timeout_minutes: Positive
    pool: str | None
    beam: tuple[str, ...]
    memory_gib: PositiveFloat
    cpus: PositiveFloat
    examples_schema: str | None
    warm_start: bool
    drift: tuple[Limit, ...]
    slices: tuple[Slices, ...]
    skew: Skew | None
    blessing: Blessing

    @pydantic.model_validator(mode="after")
    def _slices_differ(self) -> Self:
        features = [one.feature for one in self.slices]
        if len(set(features)) < len(features):
            raise ValueError(f"`slices` must name each feature once. Received: {', '.join(features)}")
        return self


class Batching(Section):
    """How a server merges requests of several clients, TensorFlow Serving's `BatchingParameters`.

    The sizes of batches are `export.warmup_batch_sizes`.

    Attributes:
        batch_timeout_micros: Microseconds for which a request waits for others before it runs.
        num_batch_threads: Number of batches that run at once.
        max_enqueued_batches: Number of batches that may wait; further requests are refused.
        pad_variable_length_inputs: Whether inputs of different lengths are filled up with their first value to be
            merged. That is right only if every signature with such inputs ignores what is beyond the length of a row.
    """

    batch_timeout_micros: NonNegative
    num_batch_threads: Positive
    max_enqueued_batches: Positive
    pad_variable_length_inputs: bool


class Serving(Section):
    """The settings of `ikelos deploy render`; without them, those of `tfx_configs/serving/settings.yaml`.

    Attributes:
        versions: Number of the newest versions that a server loads, until a label names one.
        batching: How requests of several clients are merged into batches, null if they are not.
        cpus: Processors of each server.
        memory_gib: Memory of each server in GiB. While it switches versions, a server has both in memory.
        replicas: Number of servers in Kubernetes and KServe.
        max_replicas: Largest number of servers under load.
        cpu_percent: Load of the processors, in percent of `cpus`, above which servers are added.
        request_mib: Largest body of a REST request, in MiB.
        timeout_seconds: Seconds after which a REST request fails.
        poll_seconds: Seconds between two looks of a server for new versions and changed labels.
    """

    versions: Positive
    batching: Batching | None
    cpus: PositiveFloat
    memory_gib: PositiveFloat
    replicas: Positive
    max_replicas: Positive
    cpu_percent: Positive
    request_mib: Positive
    timeout_seconds: Positive
    poll_seconds: Positive

    @pydantic.model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        self.settings()
        return self

    def settings(self) -> "deploy.Settings":
        """Returns the section as `ikelos.serving.deploy` takes it."""
        # Here, because importing it takes longer than reading a recipe, and few recipes have this section.
        from ikelos.serving import deploy

        batching = None if self.batching is None else deploy.Batching(**dict(self.batching))
        return deploy.Settings(**dict(self) | {"batching": batching})


def trainings(section: Section, prefix: str = "") -> Iterator[tuple[str, Training]]:
    """Yields the training sections of a config, each with its dotted key."""
    for name, value in section:
        if isinstance(value, Training):
            yield f"{prefix}{name}", value
        elif isinstance(value, Section):
            yield from trainings(value, f"{prefix}{name}.")


class TaskConfig(Section):
    """Base class of every task's `Config`. The trained weights depend on all sections that a subclass adds."""

    TUNABLE: ClassVar[tuple[str, ...]] = ()
    """Dotted keys of the section `model` that may differ from those of the run named by `from`."""

    evaluation: Evaluation
    export: Export
    pipeline: Pipeline | None = None
    serving: Serving | None = None
