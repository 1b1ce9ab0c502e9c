// Numbers in double that carry the likely error of float32 arithmetic.
#ifndef IKELOS_TESTS_ROUNDED_H_
#define IKELOS_TESTS_ROUNDED_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/number.h"

namespace ikelos {

// A number, and the variance of the error that float32 arithmetic makes in it if roundings are
// independent (probabilistic error analysis: Higham & Mary 2019). Worst-case bounds, which
// attention uses, would grow with every step until they are useless.
struct Rounded {
  double value = 0;
  double variance = 0;
};

inline double Square(double x) { return x * x; }

inline Rounded operator+(Rounded a, Rounded b) {
  const double value = a.value + b.value;
  return {value, a.variance + b.variance + Square(kStep * value)};
}

inline Rounded operator-(Rounded a, Rounded b) { return a + Rounded{-b.value, b.variance}; }

inline Rounded operator*(Rounded a, Rounded b) {
  const double value = a.value * b.value;
  return {value, Square(a.value) * b.variance + a.variance * (Square(b.value) + b.variance) +
                     Square(kStep * value) + Square(kTiny)};
}

// A sum in any order, including the rounding of its terms, which are products.
class Total {
 public:
  void Add(Rounded term) {
    value_ += term.value;
    size_ += std::fabs(term.value);
    variance_ += term.variance;
    ++count_;
  }
  Rounded Result() const {
    return {value_, variance_ + (count_ + 4) * Square(2 * 0x1p-24 * size_)};
  }

 private:
  double value_ = 0, size_ = 0, variance_ = 0, count_ = 0;
};

inline Rounded Exactly(double value) { return {value, 0}; }

// A term of a sum: a product, whose rounding the sum includes.
inline Rounded Term(Rounded a, double b) {
  return {a.value * b, a.variance * Square(b) + Square(kTiny)};
}

// Rounding counts as twice kStep, since the kernels' polynomials are off by a few units in the last
// place (test_activations.cc).
Rounded Sigmoid(Rounded x);
Rounded Tanh(Rounded x);

struct Normalised {
  std::vector<Rounded> values;  // mean 0, variance 1
  Rounded by;                   // the factor 1 / standard deviation
};

Normalised Normalise(const std::vector<Rounded>& values, double epsilon);

// Computes the gradient of the numbers before normalisation: removes from `values` the component
// along the vector of ones and that along the normalised values, and multiplies by `by`.
std::vector<Rounded> NormaliseGrad(const std::vector<Rounded>& values,
                                   const Normalised& normalised);

// The errors as bounds, including that of rounding to the storage.
std::vector<Number> Bounded(const std::vector<Rounded>& numbers, Storage storage);
std::vector<Number> Bounded(const std::vector<Total>& totals, Storage storage);

}  // namespace ikelos

#endif  // IKELOS_TESTS_ROUNDED_H_
