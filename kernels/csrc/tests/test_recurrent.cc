// Tests of the recurrent layers and their gradients for every instruction set of this machine,
// without TensorFlow, and of the oracle. Prints the failures, and then exits with 1.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/recurrent.h"
#include "tests/recurrent_case.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

constexpr Storage kStorages[] = {Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16};
constexpr RecurrentCell kCells[] = {RecurrentCell::kLstm, RecurrentCell::kGru,
                                    RecurrentCell::kGruResetAfter};

double worst_error = 0;  // of all comparisons, in tolerances

std::string Name(const RecurrentCase& c, Isa isa) {
  return std::string(IsaName(isa)) + " " + Describe(c.options);
}

void RunAndCompare(const RecurrentOptions& options) {
  const RecurrentCase c(options);
  const RecurrentNumbers expected = c.Expected();
  for (Isa isa : SupportedIsas()) {
    const std::string problems = c.Compare(c.Run(isa, kSerial), expected, &worst_error);
    Expect(problems.empty(), Name(c, isa) + ": " + problems);
  }
}

RecurrentOptions Sized(int64_t batch, int64_t steps, int64_t features, int64_t units) {
  RecurrentOptions o;
  o.batch = batch;
  o.steps = steps;
  o.features = features;
  o.units = units;
  o.guard_bytes = 64;
  return o;
}

// --- options, of a batch of at least 2 and 2 steps -----------------------------------------------

using Option = void (*)(RecurrentOptions* options);

void None(RecurrentOptions*) {}
void Backwards(RecurrentOptions* o) { o->go_backwards = true; }
void ZeroOutput(RecurrentOptions* o) { o->zero_output_for_mask = true; }
void NoBias(RecurrentOptions* o) { o->bias = false; }
void Mask(RecurrentOptions* o) { o->mask = true; }
void MostlyMasked(RecurrentOptions* o) {
  o->mask = true;
  o->masked = 0.9;
}
void AllMasked(RecurrentOptions* o) {
  o->mask = true;
  o->masked = 1;
}
void Lengths(RecurrentOptions* o) {
  for (int64_t b = 0; b < o->batch; ++b) {
    o->lengths.push_back(static_cast<int32_t>((b * 3 + o->steps - 1) % (o->steps + 1)));
  }
}
void LengthsOfZero(RecurrentOptions* o) {
  o->lengths.assign(static_cast<size_t>(o->batch), 0);
  o->lengths[1] = static_cast<int32_t>(o->steps);
}
void DropoutMask(RecurrentOptions* o) { o->dropout_mask = true; }
// Not for kGru.
void Normalises(RecurrentOptions* o) { o->normalises = o->cell != RecurrentCell::kGru; }
void LargeRecurrent(RecurrentOptions* o) { o->recurrent_magnitude = 5; }

constexpr Option kOptions[] = {None,          Backwards,    ZeroOutput, NoBias,
                               Mask,          MostlyMasked, AllMasked,  Lengths,
                               LengthsOfZero, DropoutMask,  Normalises, LargeRecurrent};

RecurrentOptions With(RecurrentOptions o, RecurrentCell cell, const std::vector<Option>& options) {
  o.cell = cell;
  for (Option option : options) {
    option(&o);
  }
  return o;
}

// --- the oracle ----------------------------------------------------------------------------------

double Loss(const RecurrentCase& c) {
  double loss = 0;
  // Gradients of outputs that are always 0 are NaN.
  const auto add = [&](const Array& grads, const std::vector<Number>& numbers) {
    for (int64_t i = 0; i < grads.size(); ++i) {
      loss += std::isnan(grads[i]) ? 0 : grads[i] * numbers[static_cast<size_t>(i)].value;
    }
  };
  const RecurrentNumbers numbers = c.Expected();
  add(c.outputs_grad, numbers.outputs);
  add(c.hidden_grad, numbers.hidden);
  add(c.cell_grad, numbers.cell);
  return loss;
}

struct Input {
  Array RecurrentCase::* array;
  std::vector<Number> RecurrentNumbers::* grads;
};

constexpr Input kInputs[] = {
    {&RecurrentCase::inputs, &RecurrentNumbers::inputs_grad},
    {&RecurrentCase::kernel, &RecurrentNumbers::kernel_grad},
    {&RecurrentCase::recurrent_kernel, &RecurrentNumbers::recurrent_kernel_grad},
    {&RecurrentCase::bias, &RecurrentNumbers::bias_grad},
    {&RecurrentCase::initial_hidden, &RecurrentNumbers::initial_hidden_grad},
    {&RecurrentCase::initial_cell, &RecurrentNumbers::initial_cell_grad},
    {&RecurrentCase::kernel_scale, &RecurrentNumbers::kernel_scale_grad},
    {&RecurrentCase::recurrent_scale, &RecurrentNumbers::recurrent_scale_grad},
    {&RecurrentCase::cell_scale, &RecurrentNumbers::cell_scale_grad},
    {&RecurrentCase::cell_offset, &RecurrentNumbers::cell_offset_grad},
};

// Compares the oracle's gradients with central differences of the oracle's results.
void OracleIsDifferentiatedRight(const RecurrentOptions& options) {
  RecurrentCase c(options);
  const double step = 0x1p-18;  // exact in float32 beside multiples of 2^-10
  for (const Input& input : kInputs) {
    Array& array = c.*input.array;
    for (int64_t i = 0; i < array.size(); ++i) {
      array.Set(i, std::round(array[i] * 0x1p10) * 0x1p-10);
    }
  }
  const RecurrentNumbers numbers = c.Expected();
  double worst = 0;
  for (const Input& input : kInputs) {
    Array& array = c.*input.array;
    for (int64_t i = 0; i < array.size(); ++i) {
      const double value = array[i];
      const double grad = (numbers.*input.grads)[static_cast<size_t>(i)].value;
      if (std::isnan(value)) {
        Expect(grad == 0, Describe(options) + ": what is not read must have no gradient");
        continue;
      }
      array.Set(i, value + step);
      const double above = Loss(c);
      array.Set(i, value - step);
      const double below = Loss(c);
      array.Set(i, value);
      const double error = std::fabs((above - below) / (2 * step) - grad);
      worst = error <= worst ? worst : error;
    }
  }
  // step^2 / 6 times third derivatives, which are below 10^5.
  Expect(worst < 2.4e-7, Describe(options) + ": the oracle's gradient is " +
                             std::to_string(worst * 1e9) + " * 10^-9 off its differences");
}

void OracleIsDifferentiatedRight() {
  for (RecurrentCell cell : kCells) {
    for (Option option : kOptions) {
      OracleIsDifferentiatedRight(With(Sized(2, 4, 2, 3), cell, {option}));
      OracleIsDifferentiatedRight(
          With(Sized(4, 4, 2, 3), cell, {option, Lengths, Mask, DropoutMask, Normalises}));
    }
  }
}

// --- sizes and options ---------------------------------------------------------------------------

void EachOption() {
  for (Storage storage : kStorages) {
    for (RecurrentCell cell : kCells) {
      for (Option option : kOptions) {
        for (RecurrentOptions o : {Sized(2, 3, 2, 3), Sized(7, 9, 5, 17), Sized(5, 4, 33, 33)}) {
          o.storage = storage;
          RunAndCompare(With(o, cell, {option}));
          RunAndCompare(With(o, cell, {option, Backwards, Lengths, Mask}));
          RunAndCompare(With(o, cell, {option, ZeroOutput, Mask, NoBias}));
        }
      }
    }
  }
}

// Sizes around the edges of vectors and tiles.
void EachSize() {
  for (RecurrentCell cell : kCells) {
    for (int64_t units : {1, 7, 8, 15, 16, 17, 31, 33, 59, 64, 100, 130}) {
      for (int64_t batch : {1, 2, 6, 13}) {
        const int64_t features = units == 59 ? 40 : units == 17 ? 1 : 5;
        RunAndCompare(With(Sized(batch, 2, features, units), cell, {}));
      }
    }
    for (int64_t batch : {1, 2, 5, 6, 7, 12, 13, 32}) {
      for (int64_t steps : {1, 2, 9}) {
        for (int64_t features : {0, 1, 5, 40}) {
          RunAndCompare(With(Sized(batch, steps, features, 19), cell, {Lengths}));
        }
      }
    }
    RunAndCompare(With(Sized(3, 9, 40, 130), cell, {Lengths}));
    RunAndCompare(With(Sized(32, 9, 5, 16), cell, {Mask}));
    RunAndCompare(With(Sized(2, 59, 5, 33), cell, {Mask, Backwards}));
  }
}

// Whether weights are packed decides only the time.
void InPlaceGivesTheSameBits() {
  for (RecurrentCell cell : kCells) {
    for (Option option : kOptions) {
      for (const RecurrentOptions& o :
           {Sized(2, 1, 5, 3), Sized(7, 3, 5, 17), Sized(13, 2, 33, 64)}) {
        RecurrentOptions in_place = With(o, cell, {option});
        const RecurrentCase packed(in_place);
        in_place.reads_in_place = true;
        const RecurrentCase c(in_place);
        for (Isa isa : SupportedIsas()) {
          Expect(c.Run(isa, kSerial).SameBits(packed.Run(isa, kSerial)),
                 Name(c, isa) + ": packed weights give another result");
        }
      }
    }
  }
}

// Empty arrays, and sums over them, which are 0.
void EmptyAxes() {
  for (RecurrentCell cell : kCells) {
    for (const RecurrentOptions& o : {Sized(0, 5, 3, 17), Sized(3, 0, 3, 17), Sized(3, 5, 0, 17),
                                      Sized(0, 0, 0, 1), Sized(3, 0, 0, 2)}) {
      RunAndCompare(With(o, cell, {}));
      RunAndCompare(With(o, cell, {Lengths, Mask, DropoutMask, Normalises, Backwards}));
    }
  }
}

// --- states --------------------------------------------------------------------------------------

// Step by step, with the states passed on and the weights packed once, gives the whole sequence.
void StepsAreTheSequence() {
  for (RecurrentCell cell : kCells) {
    for (int64_t batch : {1, 6}) {
      const RecurrentCase c(With(Sized(batch, 9, 5, 33), cell, {}));
      const RecurrentNumbers expected = c.Expected();
      for (Isa isa : SupportedIsas()) {
        RecurrentCaseResults results = c.Run(isa, kSerial);
        RecurrentProblem step = c.problem;
        step.steps = 1;
        const auto array = [](int64_t size) { return Array(Storage::kFloat32, size, 64); };
        Array inputs = array(batch * 5), outputs = array(batch * 33);
        Array hidden = c.initial_hidden, cells = c.initial_cell;
        Array packed = array(RecurrentPacked(step));
        PackRecurrent(step, packed.floats(), isa, kSerial);
        for (int64_t t = 0; t < 9; ++t) {
          for (int64_t i = 0; i < batch * 5; ++i) {
            inputs.Set(i, c.inputs[(i / 5 * 9 + t) * 5 + i % 5]);
          }
          const Array hidden_before = hidden, cells_before = cells;
          step.inputs = inputs.data();
          step.initial_hidden = hidden_before.data();
          step.initial_cell = cells_before.data();
          Array scratch = array(RecurrentScratch(step, false));
          Recurrent(step, packed.floats(), {outputs.data(), hidden.data(), cells.data(), nullptr},
                    scratch.floats(), isa, kSerial);
          for (int64_t i = 0; i < batch * 33; ++i) {
            results.plain_outputs.Set((i / 33 * 9 + t) * 33 + i % 33, outputs[i]);
          }
        }
        results.plain_hidden = hidden;
        results.plain_cell = cells;
        const std::string problems = c.Compare(results, expected, &worst_error);
        Expect(problems.empty(), Name(c, isa) + ", step by step: " + problems);
      }
    }
  }
}

// --- bad numbers ---------------------------------------------------------------------------------

// A NaN in the inputs of a row affects that row from there on, and no other.
void NaNStaysInItsRow(Option option) {
  for (RecurrentCell cell : kCells) {
    for (Storage storage : kStorages) {
      RecurrentOptions o = With(Sized(7, 5, 3, 17), cell, {option});
      o.storage = storage;
      RecurrentCase c(o);
      const int64_t bad_row = 4, bad_step = 2;
      c.inputs.Set((bad_row * 5 + bad_step) * 3 + 1, std::numeric_limits<double>::quiet_NaN());
      for (Isa isa : SupportedIsas()) {
        const RecurrentCaseResults results = c.Run(isa, kSerial);
        int64_t wrong = 0;
        for (int64_t i = 0; i < 7 * 5 * 17; ++i) {
          const bool spoilt = i / (5 * 17) == bad_row && i / 17 % 5 >= bad_step;
          wrong += std::isnan(results.outputs[i]) != spoilt;
          wrong += std::isnan(results.plain_outputs[i]) != spoilt;
        }
        for (int64_t i = 0; i < 7 * 17; ++i) {
          const bool spoilt = i / 17 == bad_row;
          wrong += std::isnan(results.hidden[i]) != spoilt;
          wrong += std::isnan(results.initial_hidden_grad[i]) != spoilt;
        }
        for (int64_t i = 0; i < 7 * 5 * 3; ++i) {
          wrong += i / (5 * 3) != bad_row && std::isnan(results.inputs_grad[i]);
        }
        Expect(wrong == 0,
               Name(c, isa) + ": a NaN is wrong in " + std::to_string(wrong) + " numbers");
      }
    }
  }
}

// --- threads -------------------------------------------------------------------------------------

void SameForAnyNumberOfThreads() {
  for (RecurrentCell cell : kCells) {
    for (RecurrentOptions o :
         {With(Sized(1, 4, 150, 250), cell, {}), With(Sized(13, 9, 5, 59), cell, {Lengths, Mask}),
          With(Sized(32, 5, 40, 64), cell, {Backwards, DropoutMask, Normalises}),
          With(Sized(130, 3, 7, 33), cell, {Mask, ZeroOutput})}) {
      for (Storage storage : {Storage::kFloat32, Storage::kBFloat16}) {
        o.storage = storage;
        const RecurrentCase c(o);
        const RecurrentNumbers numbers = c.Expected();
        for (Isa isa : SupportedIsas()) {
          const RecurrentCaseResults expected = c.Run(isa, kSerial);
          const std::string problems = c.Compare(expected, numbers, &worst_error);
          Expect(problems.empty(), Name(c, isa) + ": " + problems);
          for (int threads : {2, 3, 8}) {
            ThreadPool pool(threads);
            Expect(c.Run(isa, pool.For()).SameBits(expected),
                   Name(c, isa) + ": " + std::to_string(threads) +
                       " threads give another result than one");
          }
        }
      }
    }
  }
}

// A pool may start its helpers after the caller has done all the work itself.
void HelpersMayBeLate() {
  for (RecurrentCell cell : kCells) {
    const RecurrentCase c(With(Sized(13, 5, 5, 59), cell, {Lengths}));
    for (Isa isa : SupportedIsas()) {
      std::vector<std::function<void()>> late;
      const RecurrentCaseResults results = c.Run(
          isa, OnPool(4, [&](std::function<void()> work) { late.push_back(std::move(work)); }));
      for (auto& work : late) {
        work();
      }
      Expect(!late.empty() && results.SameBits(c.Run(isa, kSerial)),
             Name(c, isa) + ": late helpers give another result");
    }
  }
}

}  // namespace
}  // namespace ikelos

int main() {
  ikelos::OracleIsDifferentiatedRight();
  ikelos::EachOption();
  ikelos::EachSize();
  ikelos::InPlaceGivesTheSameBits();
  ikelos::EmptyAxes();
  ikelos::StepsAreTheSequence();
  ikelos::NaNStaysInItsRow(ikelos::None);
  ikelos::NaNStaysInItsRow(ikelos::Normalises);
  ikelos::SameForAnyNumberOfThreads();
  ikelos::HelpersMayBeLate();
  std::printf("the largest error was %.2f tolerances\n", ikelos::worst_error);
  return ikelos::Verdict();
}
