#include "core/sequences.h"

#include <algorithm>
#include <numeric>

namespace ikelos {

OwnedSequences::OwnedSequences(const RecurrentProblem& p) {
  const auto batch = static_cast<size_t>(p.batch);
  const int64_t steps = p.steps;
  // The valid steps of each row of the batch, in processing order.
  std::vector<std::vector<int64_t>> valid(batch);
  for (size_t b = 0; b < batch; ++b) {
    const int64_t length = p.lengths == nullptr ? steps : p.lengths[b];
    for (int64_t i = 0; i < steps; ++i) {
      const int64_t t = p.go_backwards ? steps - 1 - i : i;
      if (t < length && (p.mask == nullptr || p.mask[static_cast<int64_t>(b) * steps + t] != 0)) {
        valid[b].push_back(i);
      }
    }
  }
  row_.resize(batch);
  std::iota(row_.begin(), row_.end(), 0);
  std::stable_sort(row_.begin(), row_.end(), [&valid](int64_t a, int64_t b) {
    return valid[static_cast<size_t>(a)].size() > valid[static_cast<size_t>(b)].size();
  });
  for (const int64_t b : row_) {
    length_.push_back(static_cast<int64_t>(valid[static_cast<size_t>(b)].size()));
  }

  const int64_t longest = batch == 0 ? 0 : length_[0];
  first_.push_back(0);
  for (int64_t s = 0; s < longest; ++s) {
    for (size_t r = 0; r < batch && length_[r] > s; ++r) {
      const int64_t start = row_[r] * steps;
      const std::vector<int64_t>& places = valid[static_cast<size_t>(row_[r])];
      const int64_t place = places[static_cast<size_t>(s)];
      const int64_t next = s + 1 < length_[r] ? places[static_cast<size_t>(s) + 1] : steps;
      input_.push_back(start + (p.go_backwards ? steps - 1 - place : place));
      output_.push_back(start + place);
      output_end_.push_back(start + (p.zero_output_for_mask ? place + 1 : next));
    }
    first_.push_back(static_cast<int64_t>(input_.size()));
  }

  for (size_t b = 0; b < batch; ++b) {
    int64_t i = 0;
    for (const int64_t place : valid[b]) {
      for (; i < place; ++i) {
        empty_outputs.push_back(static_cast<int64_t>(b) * steps + i);
      }
      i = place + 1;
      if (!p.zero_output_for_mask) {
        i = steps;
        break;
      }
    }
    for (; i < steps; ++i) {
      empty_outputs.push_back(static_cast<int64_t>(b) * steps + i);
    }
  }
  view = {p.batch,       longest,        static_cast<int64_t>(input_.size()),
          row_.data(),   length_.data(), first_.data(),
          input_.data(), output_.data(), output_end_.data()};
}

}  // namespace ikelos
