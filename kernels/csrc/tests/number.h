// The arithmetic of the oracles: elements of arrays in any storage, and numbers in double that
// carry a bound on the error that float32 arithmetic may make.
#ifndef IKELOS_TESTS_NUMBER_H_
#define IKELOS_TESTS_NUMBER_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/half.h"

namespace ikelos {

// One element of an array in that storage, read exactly and stored to nearest, ties to even.
double LoadElement(Storage storage, const void* array, int64_t index);
void StoreElement(Storage storage, void* array, int64_t index, double value);
double LargestFinite(Storage storage);

// The largest error of rounding to the storage.
double Rounding(Storage storage, double value);

// A number, with a bound on the error that float32 arithmetic may make in it, in any order of
// additions (a running error analysis: Higham 2002, section 3.3). The error is infinite or NaN
// where rounding may change everything, as with logits so large that neighbours cannot be told
// apart. The value is NaN where the formulas give no number.
struct Number {
  double value = 0;
  double error = 0;
};

// The error of one float32 operation, times four: a kernel may do a few more than the formula has,
// such as a change to powers of two, and an exponential is a polynomial.
constexpr double kStep = 4 * 0x1p-24;
// Where float32 underflows.
constexpr double kTiny = 0x1p-125;

inline Number operator+(Number a, Number b) {
  const double value = a.value + b.value;
  return {value, a.error + b.error + kStep * std::fabs(value)};
}

inline Number operator-(Number a, Number b) { return a + Number{-b.value, b.error}; }

inline Number operator*(Number a, Number b) {
  const double value = a.value * b.value;
  return {value, std::fabs(a.value) * b.error + a.error * (std::fabs(b.value) + b.error) +
                     kStep * std::fabs(value) + kTiny};
}

// A sum in any order: each term takes part in at most as many additions as there are terms. Twice
// that, since a sum computed block by block is rescaled whenever the row maximum grows.
class Sum {
 public:
  void Add(Number term) {
    value_ += term.value;
    size_ += std::fabs(term.value);
    error_ += term.error;
    ++count_;
  }
  Number Total() const { return {value_, error_ + 2 * (count_ + 4) * 0x1p-24 * size_}; }

 private:
  double value_ = 0, size_ = 0, error_ = 0, count_ = 0;
};

// The numbers as stored.
std::vector<Number> Stored(std::vector<Number> numbers, Storage storage);
std::vector<Number> Totals(const std::vector<Sum>& sums, Storage storage);

}  // namespace ikelos

#endif  // IKELOS_TESTS_NUMBER_H_
