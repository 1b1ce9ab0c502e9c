"""`convert`: replaces a model's stock layers by the fused ones of this library, or back."""

import keras

from ikelos.layers.attention.fused_grouped_query_attention import FusedGroupedQueryAttention
from ikelos.layers.attention.fused_multi_head_attention import FusedMultiHeadAttention
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.recurrent.fused_gru import FusedGRU
from ikelos.layers.recurrent.fused_lstm import FusedLSTM

# Each class has a single base, the stock class that it replaces.
FUSED = (
    FusedGRU,
    FusedGroupedQueryAttention,
    FusedLSTM,
    FusedMultiHeadAttention,
    FusedRMSNormalization,
)
# For each value of the argument `to`, the classes to replace and their replacements.
TWINS = {
    "fused": {fused.__bases__[0]: fused for fused in FUSED},
    "stock": {fused: fused.__bases__[0] for fused in FUSED},
}


def convert(model, to="fused"):
    """Replaces a model's stock layers by the fused ones of this library, or back, in place.

    Layers are found at any depth: in Sequential, functional, nested and subclassed models, in custom layers, and in
    wrappers such as `Bidirectional`. Shared layers stay shared. Only layers of exactly these classes are replaced:

        keras.layers.GRU                  FusedGRU
        keras.layers.GroupQueryAttention  FusedGroupedQueryAttention
        keras.layers.LSTM                 FusedLSTM
        keras.layers.MultiHeadAttention   FusedMultiHeadAttention
        keras.layers.RMSNormalization     FusedRMSNormalization

    Subclasses of these classes are not replaced, because their changes are unknown. Cells are not replaced either,
    because no op makes a loop of single steps faster.

    The layers remain the same objects and only change their class. They keep their weights, names and states, and the
    model keeps its graph, loss, metrics and optimizer with its state. Keras traces `fit`, `evaluate` and `predict`
    again, but not a `tf.function` that calls the model or a model that contains it. So convert the outermost model,
    before the first call of such a function. To keep the original, convert a `keras.models.clone_model` of it and copy
    the weights. A `.keras` file that is saved afterwards loads only after `import ikelos.layers`.

    Args:
        model: A Keras model or layer. A subclassed one that creates its layers in `build` must have been built.
        to: `"fused"` or `"stock"`.

    Returns:
        `model`.

    Raises:
        TypeError: If `model` is not a Keras 3 model or layer, such as the result of `tf.saved_model.load`.
        ValueError: If `model` has no layer of these classes, fused or stock, or `to` is neither `"fused"` nor
            `"stock"`.

    Example:

    >>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.Bidirectional(keras.layers.LSTM(4))])
    >>> model = convert(model)
    >>> type(model.layers[0].forward_layer)
    <class 'ikelos.layers.recurrent.fused_lstm.FusedLSTM'>
    """
    if to not in TWINS:
        raise ValueError(f"`to` must be 'fused' or 'stock'. Received: to={to!r}")
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"`model` must be a model or layer of Keras 3. Received: model={model!r} of {type(model)}")
    layers = model._flatten_layers()
    twins = [layer for layer in layers if type(layer) in TWINS["fused"] or type(layer) in TWINS["stock"]]
    if not twins:
        names = ", ".join(stock.__name__ for stock in TWINS["fused"])
        raise ValueError(f"`model` must have a layer of the classes {names}, fused or stock. Received: model={model!r}")
    for layer in twins:
        # A new layer would not work, because graphs, wrappers, containers, attributes and optimizers refer to this one.
        # The two classes differ only in their methods.
        layer.__class__ = TWINS[to].get(type(layer), type(layer))
    for layer in layers:
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None
    return model
