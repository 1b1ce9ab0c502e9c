#include "tests/rounded.h"

#include <algorithm>

namespace ikelos {
namespace {

// The largest error allowed, in standard deviations.
constexpr double kDeviations = 10;

// For increasing f with values up to about 1.
template <typename F>
Rounded Increasing(const F& f, Rounded x) {
  const double value = f(x.value), deviation = std::sqrt(x.variance);
  const double error = std::max(f(x.value + deviation) - value, value - f(x.value - deviation));
  return {value, Square(error) + Square(2 * kStep * value) + Square(kTiny)};
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) {
    sum += value;
  }
  return sum / static_cast<double>(values.size());
}

// The variance that rounding adds to a mean of `count` numbers of that mean magnitude.
double MeanVariance(size_t count, double magnitude) {
  return (static_cast<double>(count) + 4) * Square(2 * 0x1p-24 * magnitude);
}

}  // namespace

Rounded Sigmoid(Rounded x) {
  return Increasing([](double v) { return 1 / (1 + std::exp(-v)); }, x);
}

Rounded Tanh(Rounded x) {
  return Increasing([](double v) { return std::tanh(v); }, x);
}

std::vector<Rounded> NormaliseGrad(const std::vector<Rounded>& values,
                                   const Normalised& normalised) {
  const size_t n = values.size();
  const double count = static_cast<double>(n);
  std::vector<double> numbers, sizes, products, product_sizes;
  double variances[3] = {};  // times powers of the normalised values
  for (size_t i = 0; i < n; ++i) {
    const double v = values[i].value, x = normalised.values[i].value;
    numbers.push_back(v);
    sizes.push_back(std::fabs(v));
    products.push_back(v * x);
    product_sizes.push_back(std::fabs(v * x) +
                            std::fabs(v) * std::sqrt(normalised.values[i].variance));
    variances[0] += values[i].variance;
    variances[1] += values[i].variance * x;
    variances[2] += values[i].variance * x * x;
  }
  const double mean = Mean(numbers), mean_product = Mean(products);
  const double rounding =
      MeanVariance(n, Mean(sizes)) + Square(kStep * mean) + Square(kStep * mean_product);
  std::vector<Rounded> result;
  for (size_t i = 0; i < n; ++i) {
    const double x = normalised.values[i].value;
    const double passed =
        values[i].variance * (1 - 2 / count - 2 * x * x / count) +
        (variances[0] + 2 * x * variances[1] + x * x * variances[2]) / Square(count);
    const double around = Square(mean_product) * normalised.values[i].variance +
                          Square(x) * MeanVariance(n, Mean(product_sizes)) +
                          Square(kStep * values[i].value);
    const Rounded projected = {values[i].value - mean - x * mean_product,
                               std::max(passed, 0.0) + around + rounding};
    result.push_back(projected * normalised.by);
  }
  return result;
}

Normalised Normalise(const std::vector<Rounded>& values, double epsilon) {
  const size_t n = values.size();
  std::vector<double> numbers, sizes, squares;
  for (Rounded value : values) {
    numbers.push_back(value.value);
    sizes.push_back(std::fabs(value.value));
  }
  const double mean = Mean(numbers);
  for (double number : numbers) {
    squares.push_back(Square(number - mean));
  }
  const double by = 1 / std::sqrt(Mean(squares) + epsilon);
  Normalised result;
  double variance = 0;
  for (Rounded value : values) {
    const double x = (value.value - mean) * by;
    variance += value.variance * Square(x * by / static_cast<double>(n));
    result.values.push_back({x, 0});
  }
  result.by = {by, 0};
  // Errors pass through as gradients do, because the derivative is symmetric; rounding adds further
  // errors.
  std::vector<Rounded> errors;
  for (Rounded value : values) {
    errors.push_back({0, value.variance});
  }
  const std::vector<Rounded> passed = NormaliseGrad(errors, result);
  for (size_t i = 0; i < n; ++i) {
    Rounded& x = result.values[i];
    const double centre = MeanVariance(n, Mean(sizes)) + Square(kStep * numbers[i]);
    x.variance = passed[i].variance + Square(by) * centre + Square(x.value) * MeanVariance(n, 1);
  }
  result.by.variance = Square(by) * (variance + MeanVariance(n, 1));
  return result;
}

std::vector<Number> Bounded(const std::vector<Rounded>& numbers, Storage storage) {
  std::vector<Number> bounded;
  for (Rounded number : numbers) {
    bounded.push_back({number.value, kDeviations * std::sqrt(number.variance)});
  }
  return Stored(bounded, storage);
}

std::vector<Number> Bounded(const std::vector<Total>& totals, Storage storage) {
  std::vector<Rounded> numbers;
  for (const Total& total : totals) {
    numbers.push_back(total.Result());
  }
  return Bounded(numbers, storage);
}

}  // namespace ikelos
