// The conversions between float32 and the 16-bit formats, compared with number.cc. All 16-bit
// numbers are loaded. All of them, the float32 numbers around each point halfway between two, and
// evenly spaced float32 numbers are stored; `test_half 1` stores every float32 (some minutes), the
// number is the step between bit patterns. All is done again with the processor set to flush
// subnormal numbers to 0, as TensorFlow sets it, since the conversions must not.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#ifdef IKELOS_X86
#include <immintrin.h>
#endif

#include "core/isa.h"
#include "tests/function_sweep.h"
#include "tests/function_values.h"
#include "tests/number.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// While it lives, this thread's float32 arithmetic treats subnormal operands and results as 0.
class Flushing {
 public:
#ifdef IKELOS_X86
  Flushing() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~Flushing() { _mm_setcsr(before_); }
#else
  Flushing() : before_(__builtin_aarch64_get_fpcr()) {
    __builtin_aarch64_set_fpcr(before_ | 1 << 24);
  }
  ~Flushing() { __builtin_aarch64_set_fpcr(before_); }
#endif

 private:
  const unsigned before_;
};

void FlushingWorks() {
  // Volatile, so that the compiler moves neither product across a change of the mode.
  volatile float tiny = std::numeric_limits<float>::denorm_min(), flushed, kept;
  {
    const Flushing flushing;
    flushed = tiny * 2;
  }
  kept = tiny * 2;
  Expect(flushed == 0 && kept != 0, "subnormal numbers must be flushed only while Flushing lives");
}

template <typename Half>
struct Conversion {
  std::string name;
  void (*load)(const Half*, float*, int64_t);
  void (*store)(const float*, Half*, int64_t);

  void Load(bool flushes, const std::vector<Half>& x, std::vector<float>* y) const {
    Convert(flushes, load, x, y);
  }
  void Store(bool flushes, const std::vector<float>& x, std::vector<Half>* y) const {
    Convert(flushes, store, x, y);
  }

 private:
  template <typename F, typename From, typename To>
  static void Convert(bool flushes, F convert, const std::vector<From>& x, std::vector<To>* y) {
    const int64_t count = static_cast<int64_t>(x.size());
    if (flushes) {
      const Flushing flushing;
      convert(x.data(), y->data(), count);
    } else {
      convert(x.data(), y->data(), count);
    }
  }
};

std::vector<Conversion<BFloat16>> BFloat16Conversions() {
  std::vector<Conversion<BFloat16>> conversions;
  for (Isa isa : SupportedIsas()) {
    const std::string name = std::string(IsaName(isa)) + " bfloat16";
    conversions.push_back(
        {name, IKELOS_PICK(isa, LoadBFloat16Values), IKELOS_PICK(isa, StoreBFloat16Values)});
    conversions.push_back(
        {name + " one by one", IKELOS_PICK(isa, LoadOneValues), IKELOS_PICK(isa, StoreOneValues)});
  }
  return conversions;
}

std::vector<Conversion<Float16>> Float16Conversions() {
  std::vector<Conversion<Float16>> conversions;
  for (Isa isa : SupportedIsas()) {
    conversions.push_back({std::string(IsaName(isa)) + " float16",
                           IKELOS_PICK(isa, LoadFloat16Values),
                           IKELOS_PICK(isa, StoreFloat16Values)});
  }
  return conversions;
}

template <typename Half>
double Decode(Storage storage, Half half) {
  return LoadElement(storage, &half, 0);
}

// Any NaN is as good as another.
bool Same(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

std::string Message(const std::string& name, bool flushes, const char* done, double x, double y) {
  char text[200];
  std::snprintf(text, sizeof(text), "%s%s: %a is %s as %a", name.c_str(),
                flushes ? ", flushing" : "", x, done, y);
  return text;
}

template <typename Half>
void LoadsAll(Storage storage, const std::vector<Conversion<Half>>& conversions) {
  std::vector<Half> halves;
  for (int word = 0; word < 1 << 16; ++word) {
    halves.push_back({static_cast<uint16_t>(word)});
  }
  for (const Conversion<Half>& conversion : conversions) {
    for (bool flushes : {false, true}) {
      std::vector<float> loaded(halves.size());
      conversion.Load(flushes, halves, &loaded);
      for (size_t i = 0; i < halves.size(); ++i) {
        const double exact = Decode(storage, halves[i]);
        if (!Same(loaded[i], exact)) {
          Expect(false, Message(conversion.name, flushes, "loaded", exact, loaded[i]));
        }
      }
    }
  }
}

// `values`: a multiple of 16.
template <typename Half>
void StoresRounded(Storage storage, const std::vector<Conversion<Half>>& conversions,
                   const std::vector<float>& values) {
  std::vector<Half> rounded(values.size()), stored(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    StoreElement(storage, rounded.data(), static_cast<int64_t>(i), values[i]);
  }
  for (const Conversion<Half>& conversion : conversions) {
    for (bool flushes : {false, true}) {
      conversion.Store(flushes, values, &stored);
      for (size_t i = 0; i < values.size(); ++i) {
        if (stored[i].bits == rounded[i].bits) {
          continue;
        }
        const double y = Decode(storage, stored[i]);
        if (!Same(y, Decode(storage, rounded[i]))) {
          Expect(false, Message(conversion.name, flushes, "stored", values[i], y));
        }
      }
    }
  }
}

// The finite numbers of a format, and the float32 numbers around the point halfway to the next.
// After the largest comes the number that the format would have if it had one more exponent.
template <typename Half>
std::vector<float> AroundRoundings(Storage storage) {
  std::vector<float> values;
  double before = 0, value = 0;
  for (int word = 0; std::isfinite(value); ++word) {
    const double next = Decode(storage, Half{static_cast<uint16_t>(word + 1)});
    const double step = std::isfinite(next) ? next - value : value - before;
    const float middle = static_cast<float>(value + step / 2);
    for (float x : {static_cast<float>(value), std::nextafter(middle, 0.0f), middle,
                    std::nextafter(middle, kInfinity)}) {
      values.insert(values.end(), {x, -x});
    }
    before = value, value = next;
  }
  // Two of the NaNs have upper halves that are infinity's, or would carry into the sign.
  values.insert(values.end(), {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(),
                               FromBits(0x7f800001), FromBits(0xffffffff)});
  values.resize((values.size() + 15) / 16 * 16);
  return values;
}

template <typename Half>
void Test(Storage storage, const std::vector<Conversion<Half>>& conversions, uint32_t step) {
  LoadsAll(storage, conversions);
  StoresRounded(storage, conversions, AroundRoundings<Half>(storage));
  constexpr uint64_t kCount = 1 << 16;
  std::vector<float> values(kCount);
  for (uint64_t first = 0; first < uint64_t{1} << 32; first += step * kCount) {
    for (uint64_t i = 0; i < kCount; ++i) {
      values[i] = FromBits(static_cast<uint32_t>(std::min<uint64_t>(first + i * step, 0xffffffff)));
    }
    StoresRounded(storage, conversions, values);
  }
}

}  // namespace
}  // namespace ikelos

int main(int argc, char** argv) {
  const uint32_t step = ikelos::StepOf(argc, argv);
  ikelos::FlushingWorks();
  ikelos::Test(ikelos::Storage::kBFloat16, ikelos::BFloat16Conversions(), step);
  ikelos::Test(ikelos::Storage::kFloat16, ikelos::Float16Conversions(), step);
  return ikelos::Verdict();
}
