#include "tests/attention_oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ikelos {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Number Exp(Number x) {
  const double value = std::exp(x.value);
  return {value, std::exp(x.value + x.error) - value + kStep * value + kTiny};
}

Number Log(Number x) {
  const double value = std::log(x.value);
  const double error = x.error < x.value ? x.error / (x.value - x.error) : kInfinity;
  return {value, error + kStep * (1 + std::fabs(value))};
}

// --- the problem ---------------------------------------------------------------------------------

bool Allowed(const AttentionProblem& p, int64_t b, int64_t n, int64_t t, int64_t s) {
  if (p.query_lengths != nullptr && t >= p.query_lengths[b]) {
    return false;
  }
  if (p.key_lengths != nullptr && s >= p.key_lengths[b]) {
    return false;
  }
  const int64_t ahead = s - t - (p.query_offsets == nullptr ? 0 : p.query_offsets[b]);
  if (p.is_causal && ahead > 0) {
    return false;
  }
  if (p.window_left >= 0 && -ahead > p.window_left) {
    return false;
  }
  if (p.window_right >= 0 && ahead > p.window_right) {
    return false;
  }
  const auto at = [&](const PairStrides& strides) {
    return b * strides.batch + n * strides.head + t * strides.query + s * strides.key;
  };
  if (p.mask != nullptr && p.mask[at(p.mask_strides)] == 0) {
    return false;
  }
  return p.bias == nullptr || !(LoadElement(p.storage, p.bias, at(p.bias_strides)) <= -1e30);
}

std::vector<double> LoadRows(Storage storage, const void* array, const RowStrides& strides,
                             int64_t batch, int64_t positions, int64_t heads, int64_t size) {
  std::vector<double> rows;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < positions; ++i) {
      for (int64_t n = 0; n < heads; ++n) {
        const int64_t start = b * strides.batch + i * strides.position + n * strides.head;
        for (int64_t h = 0; h < size; ++h) {
          rows.push_back(LoadElement(storage, array, start + h));
        }
      }
    }
  }
  return rows;
}

}  // namespace

bool DropoutKeeps(const uint32_t seed[2], float rate, int64_t heads, int64_t b, int64_t n,
                  int64_t t, int64_t s) {
  const auto word = [](int64_t value) { return static_cast<uint32_t>(value); };
  const auto mix = [](uint32_t x) {
    x = (x ^ (x >> 16)) * 0x7feb352dU;
    x = (x ^ (x >> 15)) * 0x846ca68bU;
    return x ^ (x >> 16);
  };
  const uint32_t head = mix(seed[0] + 0x9e3779b9U * word(b * heads + n + 1));
  const uint32_t first = mix(head ^ (0x85ebca6bU * word(t + 1)));
  const uint32_t second = mix(first ^ seed[1]);
  uint32_t x = first + word(s);
  x = (x ^ (x >> 16)) * 0x7feb352dU;
  x ^= second;
  x = (x ^ (x >> 15)) * 0x846ca68bU;
  x ^= x >> 16;
  return (x >> 8) >= std::floor(rate * 0x1p24 + 0.5);
}

AttentionNumbers AttentionOracle(const AttentionProblem& p, const void* output_grad,
                                 const float* residual_grad, const int64_t bias_grad_sizes[4]) {
  const int64_t T = p.queries, S = p.keys, N = p.heads, K = p.key_heads, H = p.size,
                E = p.value_size;
  const auto query = LoadRows(p.storage, p.query, p.query_strides, p.batch, T, N, H);
  const auto key = LoadRows(p.storage, p.key, p.key_strides, p.batch, S, K, H);
  const auto value = LoadRows(p.storage, p.value, p.value_strides, p.batch, S, K, E);
  const auto doutput = LoadRows(p.storage, output_grad, {T * N * E, N * E, E}, p.batch, T, N, E);

  const auto sums = [](int64_t size) { return std::vector<Sum>(static_cast<size_t>(size)); };
  std::vector<Sum> output = sums(p.batch * T * N * E);
  std::vector<Sum> query_grad = sums(p.batch * T * N * H);
  std::vector<Sum> key_grad = sums(p.batch * S * K * H);
  std::vector<Sum> value_grad = sums(p.batch * S * K * E);
  const int64_t* sizes = bias_grad_sizes;
  std::vector<Sum> bias_grad =
      sums(p.bias == nullptr ? 0 : sizes[0] * sizes[1] * sizes[2] * sizes[3]);
  std::vector<Number> residuals(static_cast<size_t>(p.batch * T * N), Number{-kInfinity, 0});

  // All of one query, row = (b, t, n).
  const auto attend = [&](int64_t b, int64_t t, int64_t n) {
    const size_t row = static_cast<size_t>((b * T + t) * N + n);
    const double* q = query.data() + row * static_cast<size_t>(H);
    const double* d = doutput.data() + row * static_cast<size_t>(E);
    const auto key_row = [&](int64_t s) { return (b * S + s) * K + n / (N / K); };

    std::vector<int64_t> allowed;
    std::vector<Number> logits;
    double row_max = -kInfinity;
    for (int64_t s = 0; s < S; ++s) {
      if (!Allowed(p, b, n, t, s)) {
        continue;
      }
      Sum product;
      for (int64_t h = 0; h < H; ++h) {
        product.Add({q[h] * key[static_cast<size_t>(key_row(s) * H + h)], 0});
      }
      Number logit = Number{p.scale, 0} * product.Total();
      if (p.bias != nullptr) {
        const PairStrides& strides = p.bias_strides;
        const int64_t at =
            b * strides.batch + n * strides.head + t * strides.query + s * strides.key;
        logit = logit + Number{LoadElement(p.storage, p.bias, at), 0};
      }
      if (p.alibi_slopes != nullptr) {
        const int64_t offset = p.query_offsets == nullptr ? 0 : p.query_offsets[b];
        const double distance = static_cast<double>(std::abs(t + offset - s));
        logit = logit - Number{p.alibi_slopes[n], 0} * Number{distance, kStep * distance};
      }
      allowed.push_back(s);
      logits.push_back(logit);
      row_max = std::max(row_max, logit.value);
    }
    if (allowed.empty()) {
      return;
    }

    Sum exponentials;
    for (const Number& logit : logits) {
      exponentials.Add(Exp(logit - Number{row_max, 0}));
    }
    const Number residual = Number{row_max, 0} + Log(exponentials.Total());
    residuals[row] = residual;

    // Weights after softmax, and after dropout.
    std::vector<Number> weights, kept_weights;
    const Number factor{1 / (1 - static_cast<double>(p.dropout_rate)), 0};
    const auto dropout = [&](int64_t s) {
      const bool keeps = p.dropout_rate == 0 || DropoutKeeps(p.seed, p.dropout_rate, N, b, n, t, s);
      return keeps ? factor : Number{};
    };
    for (size_t i = 0; i < allowed.size(); ++i) {
      weights.push_back(Exp(logits[i] - residual));
      kept_weights.push_back(dropout(allowed[i]) * weights[i]);
      for (int64_t e = 0; e < E; ++e) {
        const double v = value[static_cast<size_t>(key_row(allowed[i]) * E + e)];
        output[row * static_cast<size_t>(E) + static_cast<size_t>(e)].Add(kept_weights[i] *
                                                                          Number{v, 0});
      }
    }

    // The number that is subtracted from all pairs of the row: sum_e output_grad * output, with the
    // output as stored.
    Sum products;
    for (int64_t e = 0; e < E; ++e) {
      Number o = output[row * static_cast<size_t>(E) + static_cast<size_t>(e)].Total();
      o.error += Rounding(p.storage, o.value);
      products.Add(Number{d[e], 0} * o);
    }
    const Number mean = products.Total();
    const Number from_residual{residual_grad == nullptr ? 0 : residual_grad[row], 0};

    for (size_t i = 0; i < allowed.size(); ++i) {
      const int64_t s = allowed[i];
      Sum product;
      for (int64_t e = 0; e < E; ++e) {
        const size_t at = static_cast<size_t>(key_row(s) * E + e);
        product.Add({d[e] * value[at], 0});
        value_grad[at].Add(kept_weights[i] * Number{d[e], 0});
      }
      const Number weight_grad = dropout(s) * product.Total();
      const Number logit_grad = weights[i] * (weight_grad - mean + from_residual);
      const Number product_grad = Number{p.scale, 0} * logit_grad;
      for (int64_t h = 0; h < H; ++h) {
        const size_t at = static_cast<size_t>(key_row(s) * H + h);
        query_grad[row * static_cast<size_t>(H) + static_cast<size_t>(h)].Add(product_grad *
                                                                              Number{key[at], 0});
        key_grad[at].Add(product_grad * Number{q[h], 0});
      }
      if (p.bias != nullptr) {
        const int64_t b1 = b % sizes[0], n1 = n % sizes[1], t1 = t % sizes[2], s1 = s % sizes[3];
        const int64_t at = ((b1 * sizes[1] + n1) * sizes[2] + t1) * sizes[3] + s1;
        bias_grad[static_cast<size_t>(at)].Add(logit_grad);
      }
    }
  };
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t n = 0; n < N; ++n) {
        attend(b, t, n);
      }
    }
  }
  return {Totals(output, p.storage),     residuals,
          Totals(query_grad, p.storage), Totals(key_grad, p.storage),
          Totals(value_grad, p.storage), Totals(bias_grad, p.storage)};
}

}  // namespace ikelos
