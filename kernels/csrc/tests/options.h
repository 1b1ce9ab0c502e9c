// Helpers of the test cases that are made from options: random numbers, optional arrays, and a
// description of the options in words.
#ifndef IKELOS_TESTS_OPTIONS_H_
#define IKELOS_TESTS_OPTIONS_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace ikelos {

class RandomNumbers {
 public:
  explicit RandomNumbers(uint32_t seed) : generator_(seed) {}

  // Uniform with variance 1, times `magnitude`.
  double Uniform(double magnitude) {
    return magnitude * std::sqrt(3.0) * (generator_() * 0x1p-31 - 1);
  }
  bool Chance(double probability) { return generator_() * 0x1p-32 < probability; }

 private:
  std::mt19937 generator_;
};

template <typename T>
const T* DataOrNull(const std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

inline int64_t LengthOf(const std::vector<int32_t>& lengths, int64_t b, int64_t all) {
  return lengths.empty() ? all : lengths[static_cast<size_t>(b)];
}

// Describes options in words, without those that have their default values.
class Description {
 public:
  explicit Description(const std::string& start) { text_ << start; }

  template <typename T>
  void Add(bool present, const char* name, const T& value) {
    if (present) {
      text_ << " " << name << "=" << value;
    }
  }
  template <typename T>
  void AddList(const char* name, const std::vector<T>& values) {
    if (values.empty()) {
      return;
    }
    text_ << " " << name << "=";
    for (const T& value : values) {
      text_ << value << ",";
    }
  }
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
};

}  // namespace ikelos

#endif  // IKELOS_TESTS_OPTIONS_H_
