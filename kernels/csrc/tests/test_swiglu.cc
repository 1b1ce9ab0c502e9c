// SwiGLU compared with the formulas in double, in every storage and instruction set.
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "core/swiglu.h"
#include "tests/array.h"
#include "tests/rounded.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

struct Problem {
  Storage storage;
  int64_t count;
  Array gate, up, output_grad, output, gate_grad, up_grad;

  Problem(Storage storage, int64_t count)
      : storage(storage),
        count(count),
        gate(storage, count, 0),
        up(storage, count, 0),
        output_grad(storage, count, 0),
        output(storage, count, 64),
        gate_grad(storage, count, 64),
        up_grad(storage, count, 64) {
    std::mt19937 generator(static_cast<uint32_t>(count));
    std::normal_distribution<double> normal;
    for (int64_t i = 0; i < count; ++i) {
      gate.Set(i, 8 * normal(generator));  // to where the sigmoid is nearly 0 or 1
      up.Set(i, normal(generator));
      output_grad.Set(i, normal(generator));
    }
  }

  void Run(Isa isa, const ParallelFor& parallel_for) {
    Swiglu(storage, gate.data(), up.data(), output.data(), count, isa, parallel_for);
    SwigluGrad(storage, gate.data(), up.data(), output_grad.data(), gate_grad.data(),
               up_grad.data(), count, isa, parallel_for);
  }
};

void CompareWithDouble(Isa isa, Storage storage, int64_t count) {
  Problem p(storage, count);
  p.Run(isa, kSerial);
  std::vector<Rounded> output, gate_grad, up_grad;
  for (int64_t i = 0; i < count; ++i) {
    const Rounded gate = Exactly(p.gate[i]), up = Exactly(p.up[i]),
                  grad = Exactly(p.output_grad[i]);
    const Rounded s = Sigmoid(gate);
    output.push_back(gate * s * up);
    gate_grad.push_back(grad * up * (s + gate * s * (Exactly(1) - s)));
    up_grad.push_back(grad * gate * s);
  }
  double worst = 0;
  Comparison comparison(&worst);
  comparison.Add("output", p.output, Bounded(output, storage), /*is_gradient=*/false);
  comparison.Add("gate_grad", p.gate_grad, Bounded(gate_grad, storage), /*is_gradient=*/true);
  comparison.Add("up_grad", p.up_grad, Bounded(up_grad, storage), /*is_gradient=*/true);
  Expect(comparison.problems().empty(), std::string(IsaName(isa)) + " " + StorageName(storage) +
                                            " " + std::to_string(count) + ": " +
                                            comparison.problems());
}

// 100,003 elements are more than one task for each thread; the number is prime.
void SameForAnyNumberOfThreads(Isa isa) {
  Problem expected(Storage::kFloat32, 100003);
  expected.Run(isa, kSerial);
  for (int count : {2, 8}) {
    Problem p(Storage::kFloat32, 100003);
    ThreadPool pool(count);
    p.Run(isa, pool.For());
    Expect(p.output.SameBits(expected.output) && p.gate_grad.SameBits(expected.gate_grad) &&
               p.up_grad.SameBits(expected.up_grad),
           std::string(IsaName(isa)) + ": " + std::to_string(count) +
               " threads give another result than one");
  }
}

}  // namespace
}  // namespace ikelos

int main() {
  using ikelos::Storage;
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    std::printf("%s\n", ikelos::IsaName(isa));
    for (Storage storage : {Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16}) {
      for (int64_t count : {0, 1, 15, 16, 17, 97, 1025, 16384, 16385, 40001}) {
        ikelos::CompareWithDouble(isa, storage, count);
      }
    }
    ikelos::SameForAnyNumberOfThreads(isa);
  }
  return ikelos::Verdict();
}
