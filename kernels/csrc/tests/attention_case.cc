#include "tests/attention_case.h"

#include <algorithm>
#include <sstream>

#include "tests/options.h"

namespace ikelos {
namespace {

// Sets the strides of [batch, positions, heads, size] and returns the number of elements spanned.
int64_t LayOut(const CaseOptions& o, int64_t positions, int64_t heads, int64_t size,
               RowStrides* strides) {
  if (o.batch * positions * heads == 0) {
    *strides = {0, 0, 0};
    return 0;
  }
  int64_t& inner = o.heads_first ? strides->position : strides->head;
  int64_t& outer = o.heads_first ? strides->head : strides->position;
  inner = size + o.padding;
  outer = (o.heads_first ? positions : heads) * inner + o.padding;
  strides->batch = (o.heads_first ? heads : positions) * outer + o.padding;
  return At(*strides, o.batch - 1, positions - 1, heads - 1) + size;
}

// The same for an array that is broadcast to [B, N, T, S].
int64_t LayOutPairs(const CaseOptions& o, const PairAxes& axes, PairStrides* strides,
                    int64_t sizes[4]) {
  sizes[0] = axes.batch ? o.batch : 1;
  sizes[1] = axes.head ? o.heads : 1;
  sizes[2] = axes.query ? o.queries : 1;
  sizes[3] = axes.key ? o.keys : 1;
  const int64_t query = sizes[3] + o.padding;
  const int64_t head = sizes[2] * query + o.padding;
  const int64_t batch = sizes[1] * head + o.padding;
  *strides = {axes.batch ? batch : 0, axes.head ? head : 0, axes.query ? query : 0,
              axes.key ? 1 : 0};
  if (!axes.present || sizes[0] * sizes[1] * sizes[2] * sizes[3] == 0) {
    return 0;
  }
  return (sizes[0] - 1) * batch + (sizes[1] - 1) * head + (sizes[2] - 1) * query + sizes[3];
}

}  // namespace

int64_t At(const RowStrides& strides, int64_t b, int64_t position, int64_t head) {
  return b * strides.batch + position * strides.position + head * strides.head;
}

bool CaseResults::SameBits(const CaseResults& other) const {
  return output.SameBits(other.output) && residual.SameBits(other.residual) &&
         query_grad.SameBits(other.query_grad) && key_grad.SameBits(other.key_grad) &&
         value_grad.SameBits(other.value_grad) && bias_grad.SameBits(other.bias_grad);
}

AttentionCase::AttentionCase(const CaseOptions& options) : options(options), problem() {
  const CaseOptions& o = this->options;
  AttentionProblem& p = problem;
  RandomNumbers numbers(o.numbers);

  const auto fill_rows = [&](Array* array, RowStrides* strides, int64_t positions, int64_t heads,
                             int64_t size, const std::vector<int32_t>& lengths, double magnitude) {
    *array = Array(o.storage, LayOut(o, positions, heads, size, strides), o.guard_bytes);
    for (int64_t b = 0; b < o.batch; ++b) {
      for (int64_t i = 0; i < LengthOf(lengths, b, positions); ++i) {
        for (int64_t n = 0; n < heads; ++n) {
          const int64_t start = At(*strides, b, i, n);
          for (int64_t h = 0; h < size; ++h) {
            array->Set(start + h, numbers.Uniform(magnitude));
          }
        }
      }
    }
  };
  fill_rows(&query, &p.query_strides, o.queries, o.heads, o.size, o.query_lengths, o.magnitude);
  fill_rows(&key, &p.key_strides, o.keys, o.key_heads, o.size, o.key_lengths, o.magnitude);
  fill_rows(&value, &p.value_strides, o.keys, o.key_heads, o.value_size, o.key_lengths, 1);

  int64_t mask_sizes[4];
  bias = Array(o.storage, LayOutPairs(o, o.bias, &p.bias_strides, bias_sizes), o.guard_bytes);
  for (int64_t i = 0; i < bias.size(); ++i) {
    bias.Set(i, numbers.Uniform(o.magnitude));
  }
  mask.resize(static_cast<size_t>(LayOutPairs(o, o.mask, &p.mask_strides, mask_sizes)));
  for (uint8_t& allowed : mask) {
    allowed = !numbers.Chance(o.masked);
  }

  output_grad = Array(o.storage, o.batch * o.queries * o.heads * o.value_size, o.guard_bytes);
  residual_grad = Array(Storage::kFloat32, o.batch * o.queries * o.heads, o.guard_bytes);
  for (int64_t b = 0; b < o.batch; ++b) {
    const int64_t start = b * o.queries * o.heads;
    const int64_t rows = LengthOf(o.query_lengths, b, o.queries) * o.heads;
    for (int64_t i = start; i < start + rows; ++i) {
      residual_grad.Set(i, numbers.Uniform(1));
      for (int64_t e = 0; e < o.value_size; ++e) {
        output_grad.Set(i * o.value_size + e, numbers.Uniform(1));
      }
    }
  }

  p.batch = o.batch;
  p.queries = o.queries;
  p.keys = o.keys;
  p.heads = o.heads;
  p.key_heads = o.key_heads;
  p.size = o.size;
  p.value_size = o.value_size;
  p.storage = o.storage;
  p.query = query.data();
  p.key = key.data();
  p.value = value.data();
  p.bias = o.bias.present ? bias.data() : nullptr;
  p.mask = o.mask.present ? mask.data() : nullptr;
  p.query_lengths = DataOrNull(o.query_lengths);
  p.key_lengths = DataOrNull(o.key_lengths);
  p.query_offsets = DataOrNull(o.query_offsets);
  p.alibi_slopes = DataOrNull(o.alibi_slopes);
  p.scale = o.scale;
  p.is_causal = o.is_causal;
  p.window_left = o.window_left;
  p.window_right = o.window_right;
  p.cache_bytes = o.cache_bytes;
  p.dropout_rate = o.dropout_rate;
  std::copy(o.seed, o.seed + 2, p.seed);
}

CaseResults AttentionCase::Run(Isa isa, const ParallelFor& parallel_for) const {
  const CaseOptions& o = options;
  const auto array = [&](Storage storage, int64_t size) {
    return Array(storage, size, o.guard_bytes);
  };
  CaseResults r;
  r.output = array(o.storage, o.batch * o.queries * o.heads * o.value_size);
  r.residual = array(Storage::kFloat32, o.batch * o.queries * o.heads);
  r.query_grad = array(o.storage, o.batch * o.queries * o.heads * o.size);
  r.key_grad = array(o.storage, o.batch * o.keys * o.key_heads * o.size);
  r.value_grad = array(o.storage, o.batch * o.keys * o.key_heads * o.value_size);
  r.bias_grad =
      array(o.storage,
            o.bias.present ? bias_sizes[0] * bias_sizes[1] * bias_sizes[2] * bias_sizes[3] : 0);
  Attention(problem, r.output.data(), r.residual.floats(), isa, parallel_for);

  r.scratch = array(Storage::kFloat32, AttentionGradScratch(problem));
  AttentionGradients g;
  g.output = r.output.data();
  g.residual = r.residual.floats();
  g.output_grad = output_grad.data();
  g.residual_grad = o.residual_grad ? residual_grad.floats() : nullptr;
  g.query_grad = r.query_grad.data();
  g.key_grad = r.key_grad.data();
  g.value_grad = r.value_grad.data();
  g.bias_grad = o.bias.present ? r.bias_grad.data() : nullptr;
  std::copy(bias_sizes, bias_sizes + 4, g.bias_grad_sizes);
  AttentionGrad(problem, g, r.scratch.floats(), isa, parallel_for);
  return r;
}

std::string AttentionCase::Compare(const CaseResults& r, double* worst) const {
  const float* dresidual = options.residual_grad ? residual_grad.floats() : nullptr;
  const AttentionNumbers expected =
      AttentionOracle(problem, output_grad.data(), dresidual, bias_sizes);
  Comparison comparison(worst);
  comparison.Add("output", r.output, expected.output, false);
  comparison.Add("residual", r.residual, expected.residual, false);
  comparison.Add("query_grad", r.query_grad, expected.query_grad, true);
  comparison.Add("key_grad", r.key_grad, expected.key_grad, true);
  comparison.Add("value_grad", r.value_grad, expected.value_grad, true);
  comparison.Add("bias_grad", r.bias_grad, expected.bias_grad, true);
  comparison.AddMemory("scratch", r.scratch);
  return comparison.problems();
}

std::string Describe(const CaseOptions& o) {
  std::ostringstream sizes;
  sizes << StorageName(o.storage) << " B" << o.batch << " T" << o.queries << " S" << o.keys << " N"
        << o.heads << " K" << o.key_heads << " H" << o.size << " E" << o.value_size;
  Description text(sizes.str());
  const auto axes = [&](const char* name, const PairAxes& axes) {
    text.Add(axes.present, name,
             std::string(axes.batch ? "[B" : "[1") + (axes.head ? "N" : "1") +
                 (axes.query ? "T" : "1") + (axes.key ? "S]" : "1]"));
  };
  text.Add(o.padding != 0, "padding", o.padding);
  text.Add(o.heads_first, "heads_first", true);
  axes("bias", o.bias);
  axes("mask", o.mask);
  text.AddList("query_lengths", o.query_lengths);
  text.AddList("key_lengths", o.key_lengths);
  text.AddList("query_offsets", o.query_offsets);
  text.AddList("alibi_slopes", o.alibi_slopes);
  text.Add(true, "scale", o.scale);
  text.Add(o.is_causal, "is_causal", true);
  text.Add(o.window_left != -1, "window_left", o.window_left);
  text.Add(o.window_right != -1, "window_right", o.window_right);
  text.Add(o.cache_bytes != 1 << 20, "cache_bytes", o.cache_bytes);
  text.Add(o.dropout_rate != 0, "dropout_rate", o.dropout_rate);
  text.Add(!o.residual_grad, "residual_grad", "null");
  text.Add(o.magnitude != 1, "magnitude", o.magnitude);
  return text.text();
}

}  // namespace ikelos
