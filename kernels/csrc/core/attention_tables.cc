// Defines one instruction set's AttentionBlocks.
#include "core/attention_tables.h"

namespace ikelos {
namespace IKELOS_ISA {

extern const AttentionBlocks kAttentionBlocks;
const AttentionBlocks kAttentionBlocks = {
    ForwardScratch,  Forward,  DecodeScratch, Decode,      Join,     RowTerms,
    BackwardScratch, Backward, QueryGrad,     BiasScratch, BiasGrad,
};

}  // namespace IKELOS_ISA
}  // namespace ikelos
