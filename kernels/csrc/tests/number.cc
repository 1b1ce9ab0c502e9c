#include "tests/number.h"

#include <algorithm>

namespace ikelos {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The 16-bit formats: a sign, an exponent, a fraction; numbers are multiples of 2^smallest.
struct HalfFormat {
  int fraction_bits;
  int smallest;
};

HalfFormat FormatOf(Storage storage) {
  return storage == Storage::kBFloat16 ? HalfFormat{7, -133} : HalfFormat{10, -24};
}

double Decode(HalfFormat format, uint16_t word) {
  const int fraction = word & ((1 << format.fraction_bits) - 1);
  const int exponent = (word & 0x7fff) >> format.fraction_bits;
  const int last_exponent = (1 << (15 - format.fraction_bits)) - 1;
  double value;
  if (exponent == last_exponent) {
    value = fraction == 0 ? kInfinity : kNaN;
  } else if (exponent == 0) {
    value = std::ldexp(fraction, format.smallest);
  } else {
    value = std::ldexp(fraction + (1 << format.fraction_bits), format.smallest + exponent - 1);
  }
  return (word & 0x8000) != 0 ? -value : value;
}

uint16_t Encode(HalfFormat format, double value) {
  const int infinity = 0x7fff >> format.fraction_bits << format.fraction_bits;
  const int sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) {
    return 0x7fff;
  }
  if (std::isinf(value)) {
    return static_cast<uint16_t>(sign + infinity);
  }
  if (value == 0) {
    return static_cast<uint16_t>(sign);
  }
  int exponent;
  std::frexp(value, &exponent);
  const int unit = std::max(exponent - format.fraction_bits - 1, format.smallest);
  const double steps = std::nearbyint(std::ldexp(std::fabs(value), -unit));
  const double word = std::ldexp(unit - format.smallest, format.fraction_bits) + steps;
  return static_cast<uint16_t>(sign + std::min<double>(word, infinity));
}

}  // namespace

double LoadElement(Storage storage, const void* array, int64_t index) {
  if (storage == Storage::kFloat32) {
    return static_cast<const float*>(array)[index];
  }
  return Decode(FormatOf(storage), static_cast<const uint16_t*>(array)[index]);
}

void StoreElement(Storage storage, void* array, int64_t index, double value) {
  if (storage == Storage::kFloat32) {
    static_cast<float*>(array)[index] = static_cast<float>(value);
  } else {
    static_cast<uint16_t*>(array)[index] = Encode(FormatOf(storage), value);
  }
}

double LargestFinite(Storage storage) {
  if (storage == Storage::kFloat32) {
    return std::numeric_limits<float>::max();
  }
  return Decode(FormatOf(storage), storage == Storage::kBFloat16 ? 0x7f7f : 0x7bff);
}

double Rounding(Storage storage, double value) {
  switch (storage) {
    case Storage::kFloat32:
      return std::fabs(value) * 0x1p-24;
    case Storage::kBFloat16:
      return std::fabs(value) * 0x1p-8;
    case Storage::kFloat16:
      return std::max(std::fabs(value) * 0x1p-11, 0x1p-25);
  }
  return kNaN;
}

std::vector<Number> Stored(std::vector<Number> numbers, Storage storage) {
  for (Number& number : numbers) {
    number.error += Rounding(storage, std::fabs(number.value) + number.error);
  }
  return numbers;
}

std::vector<Number> Totals(const std::vector<Sum>& sums, Storage storage) {
  std::vector<Number> totals;
  for (const Sum& sum : sums) {
    totals.push_back(sum.Total());
  }
  return Stored(totals, storage);
}

}  // namespace ikelos
