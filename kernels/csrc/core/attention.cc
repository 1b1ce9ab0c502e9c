// Splits attention into tasks. The split depends only on the sizes.
#include "core/attention.h"

#include <algorithm>
#include <memory>

#include "core/attention_blocks.h"
#include "core/thread_scratch.h"

namespace ikelos {
namespace {

// With fewer tasks than this, some threads of common machines have no work. With more, the same
// keys are packed more often or, in the gradient, more memory is needed.
constexpr int64_t kTasks = 16;

// Most rows (queries times heads) per task, if they fit the cache. Each task reads all keys again
// and mostly waits for memory. At T = 2048 the reading takes a tenth of the time with 192 rows, and
// a fortieth with 768 rows.
constexpr int64_t kTaskRows = 768;
constexpr int64_t kFewestTaskRows = 48;

// Largest number of floats in the sums of the query gradient if there are several chunks: 32 MB.
constexpr int64_t kMostSums = int64_t{1} << 23;

void DecodeAll(const AttentionProblem& p, void* output, float* residual,
               const AttentionBlocks& blocks, const ParallelFor& parallel_for) {
  const int64_t parts = NumDecodeParts(p.batch, p.keys);
  const int64_t part_keys = DecodePartKeys(p.keys, parts);
  const int64_t part_size = p.queries * p.heads * (p.value_size + 2);
  const std::unique_ptr<float[]> partials(
      new float[static_cast<size_t>(p.batch * parts * part_size)]);
  parallel_for(p.batch * parts, [&](int64_t task) {
    const int64_t begin = std::min(p.keys, task % parts * part_keys);
    blocks.decode(p, task / parts, begin, std::min(p.keys, begin + part_keys),
                  partials.get() + task * part_size, ThreadScratch(blocks.decode_scratch(p)));
  });
  for (int64_t b = 0; b < p.batch; ++b) {
    blocks.join(p, b, partials.get() + b * parts * part_size, parts, output, residual);
  }
}

int64_t QueriesPerTask(const AttentionProblem& p) {
  const int64_t heads = p.heads / p.key_heads;
  int64_t rows = kTaskRows;
  const int64_t keys = kForwardKeys * (2 * p.size + p.value_size);
  while (rows > kFewestTaskRows &&
         (p.batch * p.key_heads * CeilDiv(p.queries * heads, rows) < kTasks ||
          !FitsCache(p, rows * (p.size + p.value_size) + keys))) {
    rows /= 2;
  }
  const int64_t most = std::max(kQueryGroup, rows / heads);
  // Tasks of equal size instead of a small last one.
  const int64_t even = CeilDiv(p.queries, CeilDiv(p.queries, most));
  return CeilDiv(even, kQueryGroup) * kQueryGroup;
}

int64_t QuerySums(const AttentionProblem& p) {
  return p.batch * p.heads * p.queries * CeilDiv(p.size, kSumColumns) * kSumColumns;
}

// Returns the number of chunks of keys, each with separate sums of the query gradient: enough for
// kTasks tasks, as long as the sums take at most kMostSums.
int64_t BackwardChunks(const AttentionProblem& p) {
  const int64_t heads = std::max<int64_t>(1, p.batch * p.key_heads);
  const int64_t chunks = std::min(CeilDiv(kTasks, heads), CeilDiv(p.keys, BackwardKeys(p)));
  return std::max<int64_t>(1, std::min(chunks, kMostSums / std::max<int64_t>(1, QuerySums(p))));
}

bool IsEmpty(const AttentionProblem& p) { return p.batch == 0 || p.heads == 0 || p.queries == 0; }

}  // namespace

void Attention(const AttentionProblem& p, void* output, float* residual, Isa isa,
               const ParallelFor& parallel_for) {
  if (IsEmpty(p)) {
    return;
  }
  const AttentionBlocks& blocks = IKELOS_PICK(isa, kAttentionBlocks);
  if (IsDecoding(p)) {
    return DecodeAll(p, output, residual, blocks, parallel_for);
  }
  const int64_t step = QueriesPerTask(p);
  const int64_t steps = CeilDiv(p.queries, step);
  const int64_t scratch = blocks.forward_scratch(p, step);
  // Later queries first: under a causal mask they take longer, and the last tasks should be short.
  parallel_for(p.batch * p.key_heads * steps, [&](int64_t task) {
    const int64_t first = (steps - 1 - task % steps) * step;
    const int64_t head = task / steps;
    blocks.forward(p, head / p.key_heads, head % p.key_heads, first,
                   std::min(step, p.queries - first), output, residual, ThreadScratch(scratch));
  });
}

int64_t AttentionGradScratch(const AttentionProblem& p) {
  return BackwardChunks(p) * QuerySums(p) + 2 * p.batch * p.heads * p.queries;
}

void AttentionGrad(const AttentionProblem& p, const AttentionGradients& gradients, float* scratch,
                   Isa isa, const ParallelFor& parallel_for) {
  const AttentionBlocks& blocks = IKELOS_PICK(isa, kAttentionBlocks);
  const int64_t chunks = BackwardChunks(p);
  const int64_t copy = QuerySums(p);
  float* const residuals = scratch + chunks * copy;
  float* const deltas = residuals + p.batch * p.heads * p.queries;
  const int64_t block_scratch = blocks.backward_scratch(p);

  const int64_t steps = CeilDiv(p.queries, kTaskRows);
  parallel_for(p.batch * steps, [&](int64_t task) {
    const int64_t first = task % steps * kTaskRows;
    blocks.row_terms(p, gradients, task / steps, first, std::min(kTaskRows, p.queries - first),
                     residuals, deltas);
  });
  parallel_for(p.batch * p.key_heads * chunks, [&](int64_t task) {
    const int64_t head = task / chunks, chunk = task % chunks;
    blocks.backward(p, gradients, head / p.key_heads, head % p.key_heads, chunk, chunks, residuals,
                    deltas, scratch + chunk * copy + head * (copy / (p.batch * p.key_heads)),
                    ThreadScratch(block_scratch));
  });
  parallel_for(p.batch * p.heads, [&](int64_t task) {
    blocks.query_grad(p, task / p.heads, task % p.heads,
                      scratch + task * (copy / (p.batch * p.heads)), chunks, copy,
                      gradients.query_grad);
  });

  if (gradients.bias_grad == nullptr) {
    return;
  }
  const int64_t* const sizes = gradients.bias_grad_sizes;
  const int64_t rows = CeilDiv(sizes[2], kBiasTile), columns = CeilDiv(sizes[3], kBiasTile);
  const int64_t bias_scratch = blocks.bias_scratch(p);
  parallel_for(sizes[0] * sizes[1] * rows * columns, [&](int64_t task) {
    const int64_t pair = task / (rows * columns), tile = task % (rows * columns);
    blocks.bias_grad(p, gradients, pair / sizes[1], pair % sizes[1], tile / columns * kBiasTile,
                     tile % columns * kBiasTile, residuals, deltas, ThreadScratch(bias_scratch));
  });
}

}  // namespace ikelos
