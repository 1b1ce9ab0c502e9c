#include "tests/array.h"

#include <algorithm>
#include <cmath>

namespace ikelos {
namespace {

// One number of an output or gradient; see Comparison::Add.
bool IsRight(double result, Number expected, Storage storage, bool is_gradient, double* worst) {
  if (std::isinf(expected.value) && expected.value < 0) {
    return result == expected.value;
  }
  if (!std::isfinite(expected.value)) {
    return is_gradient || !std::isfinite(result);
  }
  if (!std::isfinite(expected.error)) {
    const bool may_overflow = std::fabs(expected.value) > LargestFinite(storage) / 4;
    return is_gradient || may_overflow || std::isfinite(result);
  }
  if (std::fabs(expected.value) + expected.error >= LargestFinite(storage)) {
    return true;
  }
  const double error = std::fabs(result - expected.value);
  if (error > 0) {
    *worst = std::max(*worst, error / expected.error);
  }
  return error <= expected.error;
}

}  // namespace

const char* StorageName(Storage storage) {
  const char* const names[] = {"float32", "bfloat16", "float16"};
  return names[static_cast<int>(storage)];
}

bool Array::GuardHolds() const {
  return std::all_of(bytes_.end() - static_cast<std::ptrdiff_t>(guard_), bytes_.end(),
                     [](uint8_t byte) { return byte == 0xff; });
}

void Comparison::Add(const char* name, const Array& array, const std::vector<Number>& numbers,
                     bool is_gradient) {
  AddMemory(name, array);
  if (array.size() != static_cast<int64_t>(numbers.size())) {
    problems_ << name << ": has " << array.size() << " elements, not " << numbers.size() << "; ";
    return;
  }
  int64_t wrong = 0;
  for (int64_t i = 0; i < array.size(); ++i) {
    const Number number = numbers[static_cast<size_t>(i)];
    if (IsRight(array[i], number, array.storage(), is_gradient, worst_)) {
      continue;
    }
    if (wrong++ == 0) {
      problems_ << name << "[" << i << "] is " << array[i] << ", not " << number.value << " +- "
                << number.error << "; ";
    }
  }
  if (wrong > 1) {
    problems_ << wrong << " wrong of " << array.size() << "; ";
  }
}

void Comparison::AddMemory(const char* name, const Array& array) {
  if (!array.GuardHolds()) {
    problems_ << name << ": wrote beyond the array; ";
  }
}

}  // namespace ikelos
