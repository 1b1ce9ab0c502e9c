"""`convert`: swaps a model's stock layers for the fused ones that stand in for them, or back."""

import keras

from ikelos.layers.attention.fused_grouped_query_attention import FusedGroupedQueryAttention
from ikelos.layers.attention.fused_multi_head_attention import FusedMultiHeadAttention
from ikelos.layers.normalization.fused_rms_normalization import FusedRMSNormalization
from ikelos.layers.recurrent.fused_gru import FusedGRU
from ikelos.layers.recurrent.fused_lstm import FusedLSTM

# Each has one base: the stock class that it stands in for.
FUSED = (
    FusedGRU,
    FusedGroupedQueryAttention,
    FusedLSTM,
    FusedMultiHeadAttention,
    FusedRMSNormalization,
)
# By what to convert to, from each class to its twin.
TWINS = {
    "fused": {fused.__bases__[0]: fused for fused in FUSED},
    "stock": {fused: fused.__bases__[0] for fused in FUSED},
}


def convert(model, to="fused"):
    """Swaps a model's stock layers for the fused ones that stand in for them, or back, in place.

    It finds them at any depth: in Sequential, functional, nested and subclassed models, in layers of the user's own,
    and in wrappers such as `Bidirectional`; shared layers stay shared. Those of exactly the classes below are swapped.
    All else stays as it is: subclasses of these, as nobody knows what they change, and cells, as no op makes a loop of
    single steps faster.

        keras.layers.GRU                  FusedGRU
        keras.layers.GroupQueryAttention  FusedGroupedQueryAttention
        keras.layers.LSTM                 FusedLSTM
        keras.layers.MultiHeadAttention   FusedMultiHeadAttention
        keras.layers.RMSNormalization     FusedRMSNormalization

    The layers stay the same objects, of another class: with them their weights, names and states, the model's graph
    and its compile state, that is loss, metrics, and the optimizer with all it has gathered. What Keras has traced for
    `fit`, `evaluate` and `predict` is traced anew; what others have, such as a `tf.function` of one's own or a model
    around this one, is not: convert the outermost model, and before such a function is called first. For a second model
    beside the first, convert a `keras.models.clone_model` of it and give that the weights.

    Args:
        model: A Keras model or layer. A subclassed one that makes its layers in `build` must have been built.
        to: `"fused"` or `"stock"`.

    Returns:
        `model`.

    Raises:
        TypeError: If `model` is no Keras 3 model or layer, as what `tf.saved_model.load` returns is none.
        ValueError: If it has no layer of these classes, fused or stock, or `to` is neither.

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
        # Not a new layer: graphs, wrappers, containers, the user's own attributes and optimizers refer to this one. The
        # classes differ in methods alone.
        layer.__class__ = TWINS[to].get(type(layer), type(layer))
    for layer in layers:
        if isinstance(layer, keras.Model):
            layer.train_function = layer.test_function = layer.predict_function = None
    return model
