// The valid steps of sequences of different lengths, in an order in which they can be processed
// together.
#ifndef IKELOS_CORE_SEQUENCES_H_
#define IKELOS_CORE_SEQUENCES_H_

#include <cstdint>
#include <vector>

#include "core/recurrent.h"

namespace ikelos {

// Rows are ordered by their number of valid steps, longest first, so those that have an s-th valid
// step are the first few. Their s-th steps are numbered consecutively, followed by those of s + 1.
// Invalid steps have no number and cost nothing.
struct Sequences {
  int64_t rows;           // all rows, B
  int64_t steps;          // valid steps of the longest row
  int64_t total;          // valid steps of all rows
  const int64_t* row;     // [rows]: its index in the batch
  const int64_t* length;  // [rows]: how many valid steps it has
  const int64_t* first;   // [steps + 1]: number of the first row's s-th step; at the end, total
  // [total]: indices of rows [U] or [D] in arrays [B, T, ...].
  const int64_t* input;       // what the step reads
  const int64_t* output;      // where its output is written first
  const int64_t* output_end;  // and the end of the range in which it is repeated

  int64_t Active(int64_t step) const { return step < steps ? first[step + 1] - first[step] : 0; }
};

// Owns the arrays of a Sequences, and the indices of the rows [U] of the outputs before a batch
// row's first valid step, which are 0.
struct OwnedSequences {
  explicit OwnedSequences(const RecurrentProblem& problem);
  OwnedSequences(const OwnedSequences&) = delete;
  OwnedSequences& operator=(const OwnedSequences&) = delete;

  Sequences view;
  std::vector<int64_t> empty_outputs;

 private:
  std::vector<int64_t> row_, length_, first_, input_, output_, output_end_;
};

}  // namespace ikelos

#endif  // IKELOS_CORE_SEQUENCES_H_
