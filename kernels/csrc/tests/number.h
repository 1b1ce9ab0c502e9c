// What the oracles compute with: elements of arrays in any storage, and numbers in double that know
// how far float32 arithmetic may be off.
#ifndef IKELOS_TESTS_NUMBER_H_
#define IKELOS_TESTS_NUMBER_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/half.h"

namespace ikelos {

// One element of an array in that storage, exactly; stored to nearest, ties to even.
int64_t ElementBytes(Storage storage);
double LoadElement(Storage storage, const void* array, int64_t index);
void StoreElement(Storage storage, void* array, int64_t index, double value);
double LargestFinite(Storage storage);

// What rounding to the storage costs at most.
double Rounding(Storage storage, double value);

// A number, and a bound on the error that float32 arithmetic may make in it whatever the order of
// its additions (a running error analysis: Higham 2002, section 3.3). The error is infinite or NaN
// where rounding may change everything, as where logits are so large that neighbours can't be told
// apart. The value is NaN where the formulas give no number.
struct Number {
  double value = 0;
  double error = 0;
};

// One float32 operation, four times over: a kernel may do a few more than the formula has, such as
// a change to powers of two, and an exponential is a polynomial.
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

// A sum in any order: each term is part of at most as many additions as there are terms. Twice
// that, since a sum taken block by block is scaled again as the largest logit grows.
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

// As they are stored.
std::vector<Number> Stored(std::vector<Number> numbers, Storage storage);
std::vector<Number> Totals(const std::vector<Sum>& sums, Storage storage);

}  // namespace ikelos

#endif  // IKELOS_TESTS_NUMBER_H_
