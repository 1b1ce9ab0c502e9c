// The arguments of an op, checked against one table of its inputs. Four callers share the table and
// so agree on what is valid: the shape functions (which know shapes in part), the XLA lowerings
// (all shapes), the CPU kernels and the XLA handlers (shapes and values).
//
// The templates of op_kernel.h, xla_lowering.cc and ffi_handler.h bind an op that is given as a
// struct with these members, all static:
//   Attributes, Arguments: types, the latter derived from Arguments below
//   kTarget: the name under which XLA finds the handler
//   ForEachAttribute(attributes, visit): visit(name, value) for each attribute but the dtype T, to
//     read or to write them all
//   CheckAttributes(attributes): InvalidArgument if they are invalid
//   ReadArguments(attributes, storage, inputs, &arguments): InvalidArgument if attributes or shapes
//     are invalid, as far as they are known. `inputs` are those of the op, in order
//   CheckValues(arguments): InvalidArgument if the contents of the arrays are invalid
//   Results(arguments): the op's outputs, in order
//   Scratch(arguments): the number of floats of scratch memory that Run needs
//   Run(arguments, results, scratch, parallel_for): computes the arrays of Results
#ifndef IKELOS_TENSORFLOW_ARGUMENTS_H_
#define IKELOS_TENSORFLOW_ARGUMENTS_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/half.h"

namespace ikelos {

inline constexpr int64_t kUnknown = -1;
using Shape = absl::InlinedVector<int64_t, 4>;  // kUnknown for an unknown size

// The type of an array's elements; kStored is the op's dtype T.
enum class Elements { kStored, kBool, kInt32, kFloat32 };

// A row of an op's table. The axes are separated by spaces; a letter is a size: "T" is that of axis
// T, "t" that or 1, "4U" four times that of axis U; "2" is 2.
struct Input {
  const char* name;
  std::string_view axes;
  Elements elements;
};

struct InputArray {
  std::optional<Shape> shape;  // absent if not even the rank is known
  const void* data;            // not read where only shapes are needed
};

struct Result {
  Shape shape;
  Elements elements;
  // The input, by its place among the op's inputs, of which the output is an updated copy; -1 for
  // none. Run finds its contents in the output's memory, which is that of the input where nobody
  // else needs it.
  int updates = -1;
  // The input in whose memory Run may write the output, if nobody else needs it; -1 for none.
  int reuses = -1;
};

// The inputs by their rows in the table, and the sizes of axes inferred from them.
struct Arguments {
  absl::Span<const Input> table;
  std::vector<int> rows;  // of the op's inputs, in order; absent inputs have none
  Storage storage;
  std::vector<Shape> shapes;      // by row: of the right rank, kUnknown where unknown
  std::vector<const void*> data;  // by row; null if not given, and only then
  int64_t sizes[26];              // by the letter of the axis
  int sources[26];                // the row from which the size was inferred

  bool Has(int row) const { return data[row] != nullptr; }
  int64_t Size(char letter) const { return sizes[letter - 'A']; }
  int Source(char letter) const { return sources[letter - 'A']; }
  Shape ShapeOf(std::string_view axes) const;
  std::string Received(int row) const;  // "bias.shape=[2,?,7,9]"
};

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// Fills in `arguments`, or says which input contradicts its row or an earlier input; then
// `arguments` holds what was inferred before.
absl::Status ReadInputs(absl::Span<const Input> table, const std::vector<int>& rows,
                        Storage storage, const std::vector<InputArray>& inputs,
                        Arguments* arguments);

// InvalidArgument if the attribute num_<name> is not 0 or 1.
absl::Status CheckNoneOrOne(const char* name, int64_t count);

// The same for the optional inputs of some rows of a table.
absl::Status CheckCounts(absl::Span<const Input> optional, absl::Span<const int64_t> counts);

// InvalidArgument if one of the int32 lengths is not within [0, size of the axis].
absl::Status CheckLengths(const Arguments& arguments, int row, char axis);

// Whether the product of the positive sizes fits into int64_t. Unknown sizes and zeros are skipped.
bool ProductFits(std::initializer_list<int64_t> sizes);

// The largest factor (sizes, copies, bytes) by which the core multiplies the number of rows of an
// array.
inline constexpr int64_t kMaxFactor = int64_t{1} << 20;

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_ARGUMENTS_H_
