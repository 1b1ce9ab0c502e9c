// Arrays of a test call, and their comparison with an oracle.
#ifndef IKELOS_TESTS_ARRAY_H_
#define IKELOS_TESTS_ARRAY_H_

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "tests/number.h"

namespace ikelos {

// "float32", "bfloat16" or "float16".
const char* StorageName(Storage storage);

// Elements of a storage type. All are NaN until set, so that a test fails if a kernel reads an
// element that it must not read, or does not write one that it must write. The array is exactly as
// long as needed, for AddressSanitizer, unless guard bytes follow, which nothing may change. The
// first element is aligned to no more than its size.
class Array {
 public:
  Array() = default;
  Array(Storage storage, int64_t size, int64_t guard_bytes)
      : storage_(storage),
        size_(size),
        guard_(static_cast<size_t>(guard_bytes)),
        bytes_(static_cast<size_t>((1 + size) * ElementBytes(storage) + guard_bytes), 0xff) {}

  Storage storage() const { return storage_; }
  int64_t size() const { return size_; }
  void* data() { return bytes_.data() + ElementBytes(storage_); }
  const void* data() const { return bytes_.data() + ElementBytes(storage_); }
  float* floats() { return static_cast<float*>(data()); }
  const float* floats() const { return static_cast<const float*>(data()); }
  double operator[](int64_t index) const { return LoadElement(storage_, data(), index); }
  void Set(int64_t index, double value) { StoreElement(storage_, data(), index, value); }
  bool SameBits(const Array& other) const { return bytes_ == other.bytes_; }
  bool GuardHolds() const;

 private:
  Storage storage_ = Storage::kFloat32;
  int64_t size_ = 0;
  size_t guard_ = 0;
  std::vector<uint8_t> bytes_;
};

// Collects the errors in the results of a call.
class Comparison {
 public:
  // *worst becomes the largest error found, in tolerances, if it was smaller.
  explicit Comparison(double* worst) : worst_(worst) { problems_.precision(9); }

  // Where the formulas give no number, an output must not be finite; a gradient may be anything.
  void Add(const char* name, const Array& array, const std::vector<Number>& numbers,
           bool is_gradient);
  // Checks the guard only.
  void AddMemory(const char* name, const Array& array);

  std::string problems() const { return problems_.str(); }  // "" if nothing is wrong

 private:
  double* worst_;
  std::ostringstream problems_;
};

}  // namespace ikelos

#endif  // IKELOS_TESTS_ARRAY_H_
