"""Language models in PyTorch to compare with. Imports no TensorFlow, which its interpreter may lack."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def causal_attention(query, key, value):
    """Returns the output of causal attention `[B,T,N*H]`, for query, key and value `[B,T,N,H]`."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)


def linear(kernel):
    """Returns a linear layer without bias, with a kernel of inputs by outputs."""
    layer = nn.Linear(*kernel.shape, bias=False)
    layer.weight = nn.Parameter(torch.from_numpy(kernel).T.contiguous())
    return layer


class LSTMLanguageModel(nn.Module):
    """The arithmetic of `ikelos.layers.LSTMLanguageModel`."""

    def __init__(self, embedding, layers, head):
        """Builds the model with the weights that `step_lstm.weights` returns."""
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.from_numpy(embedding), freeze=False)
        self.lstms = recurrent("lstm", layers)
        kernel, bias = head
        self.head = nn.Linear(*kernel.shape)
        self.head.load_state_dict({"weight": torch.from_numpy(kernel).T, "bias": torch.from_numpy(bias)})

    def forward(self, tokens):
        """Returns logits `[B,T,V]` for tokens `[B,T]`."""
        hidden, _ = self.lstms(self.embedding(tokens))
        return self.head(hidden)


def recurrent(cell, layers):
    """Returns `nn.LSTM` or `nn.GRU` with the kernel, recurrent kernel and bias of each layer in Keras's layout.

    PyTorch's LSTM has two biases, Keras's has one. The second bias is 0 and is not trained.
    """
    features, units = len(layers[0][0]), len(layers[0][1])
    network = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](features, units, len(layers), batch_first=True)
    for index, weights in enumerate(layers):
        kernel, recurrent_kernel, bias = (torch.from_numpy(swapped(cell, x)) for x in weights)
        biases = torch.stack([bias, torch.zeros_like(bias)]) if cell == "lstm" else bias
        values = {"weight_ih": kernel.T, "weight_hh": recurrent_kernel.T, "bias_ih": biases[0], "bias_hh": biases[1]}
        for name, value in values.items():
            getattr(network, f"{name}_l{index}").data.copy_(value)
        getattr(network, f"bias_hh_l{index}").requires_grad_(cell == "gru")
    return network


def keras_weights(cell, arrays):
    """Returns the gradients of one layer of `recurrent` in the layout of Keras's weights."""
    if not arrays:
        return []
    kernel, recurrent_kernel, *biases = arrays
    weights = [kernel.T, recurrent_kernel.T, biases[0] if cell == "lstm" else np.stack(biases)]
    return [swapped(cell, x) for x in weights]


def swapped(cell, x):
    """Converts `[...,G*U]` between the orders of gates of Keras and PyTorch, in which GRU's first two are swapped."""
    if cell == "lstm":
        return x
    update, reset, candidate = np.split(x, 3, axis=-1)
    return np.concatenate([reset, update, candidate], axis=-1)


class Llama(nn.Module):
    """The arithmetic of `ikelos.layers.TransformerLanguageModel`: rotary positions, RMS norms, gated networks.

    Projections of the same input are one product, as in nanoGPT.
    """

    def __init__(self, embedding, layers, head, heads, time):
        """Builds the model with the weights that `step_transformer.weights` returns."""
        super().__init__()
        size = embedding.shape[1]
        self.embedding = nn.Embedding.from_pretrained(torch.from_numpy(embedding), freeze=False)
        self.blocks = nn.ModuleList(LlamaBlock(layer, size, heads) for layer in layers)
        self.norm = nn.RMSNorm(size, eps=1e-6)
        self.head = linear(head)
        half = size // heads // 2
        angles = torch.arange(time)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cosine", angles.cos()[:, None])
        self.register_buffer("sine", angles.sin()[:, None])

    def forward(self, tokens):
        """Returns logits `[B,T,V]` for tokens `[B,T]`."""
        hidden = self.embedding(tokens)
        for block in self.blocks:
            hidden = block(hidden, self.cosine, self.sine)
        return self.head(self.norm(hidden))


class LlamaBlock(nn.Module):
    """A layer of `Llama`."""

    def __init__(self, layer, size, heads):
        super().__init__()

        def joined(*names):
            return torch.cat([torch.from_numpy(layer[name]) for name in names], dim=1).numpy()

        self.heads = heads
        self.attention_norm, self.network_norm = nn.RMSNorm(size, eps=1e-6), nn.RMSNorm(size, eps=1e-6)
        self.query_key_value, self.output = linear(joined("query", "key", "value")), linear(layer["output"])
        self.gate_up, self.down = linear(joined("gate", "up")), linear(layer["down"])

    def forward(self, hidden, cosine, sine):
        """Maps `[B,T,D]` to the same shape."""
        projected = self.query_key_value(self.attention_norm(hidden)).unflatten(-1, (3, self.heads, -1))
        query, key, value = projected.unbind(2)
        query, key = rotated(query, cosine, sine), rotated(key, cosine, sine)
        hidden = hidden + self.output(causal_attention(query, key, value))
        gate, up = self.gate_up(self.network_norm(hidden)).chunk(2, dim=-1)
        return hidden + self.down(functional.silu(gate) * up)


def rotated(x, cosine, sine):
    """Applies rotary positions to `[B,T,N,H]`, rotating pairs of a feature of the first half and one of the second."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class GPT(nn.Module):
    """GPT-2's architecture, as nanoGPT trains it: layer norms, GELU, learned positions, head and embedding tied."""

    def __init__(self, vocabulary, time, layers, size, heads):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(vocabulary, size), nn.Embedding(time, size)
        self.blocks = nn.ModuleList(GPTBlock(size, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(size, bias=False)
        self.head = nn.Linear(size, vocabulary, bias=False)
        self.head.weight = self.embedding.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if residual else 0.02)

    def forward(self, tokens):
        """Returns logits `[B,T,V]` for tokens `[B,T]`."""
        hidden = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(self.norm(hidden))


class GPTBlock(nn.Module):
    """A layer of `GPT`, without biases and dropout."""

    def __init__(self, size, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.network_norm = nn.LayerNorm(size, bias=False), nn.LayerNorm(size, bias=False)
        self.query_key_value, self.output = nn.Linear(size, 3 * size, bias=False), nn.Linear(size, size, bias=False)
        self.up, self.down = nn.Linear(size, 4 * size, bias=False), nn.Linear(4 * size, size, bias=False)

    def forward(self, hidden):
        """Maps `[B,T,D]` to the same shape."""
        projected = self.query_key_value(self.attention_norm(hidden)).unflatten(-1, (3, self.heads, -1))
        hidden = hidden + self.output(causal_attention(*projected.unbind(2)))
        return hidden + self.down(functional.gelu(self.up(self.network_norm(hidden))))
