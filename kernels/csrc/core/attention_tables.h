// The functions in each instruction set's AttentionBlocks. Per-ISA sources only.
#ifndef IKELOS_CORE_ATTENTION_TABLES_H_
#define IKELOS_CORE_ATTENTION_TABLES_H_

#include "core/attention_blocks.h"

namespace ikelos {
namespace IKELOS_ISA {

int64_t ForwardScratch(const AttentionProblem&, int64_t queries);
void Forward(const AttentionProblem&, int64_t batch, int64_t key_head, int64_t first, int64_t count,
             void* output, float* residual, float* scratch);

int64_t DecodeScratch(const AttentionProblem&);
void Decode(const AttentionProblem&, int64_t batch, int64_t begin, int64_t end, float* partial,
            float* scratch);
void Join(const AttentionProblem&, int64_t batch, const float* partials, int64_t parts,
          void* output, float* residual);

void RowTerms(const AttentionProblem&, const AttentionGradients&, int64_t batch, int64_t first,
              int64_t count, float* residuals, float* deltas);
int64_t BackwardScratch(const AttentionProblem&);
void Backward(const AttentionProblem&, const AttentionGradients&, int64_t batch, int64_t key_head,
              int64_t chunk, int64_t chunks, const float* residuals, const float* deltas,
              float* query_sums, float* scratch);
void QueryGrad(const AttentionProblem&, int64_t batch, int64_t head, const float* sums,
               int64_t chunks, int64_t step, void* query_grad);
int64_t BiasScratch(const AttentionProblem&);
void BiasGrad(const AttentionProblem&, const AttentionGradients&, int64_t batch, int64_t head,
              int64_t query, int64_t key, const float* residuals, const float* deltas,
              float* scratch);

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_ATTENTION_TABLES_H_
