// What an op is given, checked by one table of its inputs. Four ask for it: the shape functions
// (shapes in part), the XLA lowerings (shapes), the CPU kernels and the XLA handlers (shapes and
// values). They share the table, so they agree on what fits.
//
// The templates of op_kernel.h, xla_lowering.cc and ffi_handler.h bind an op given as a struct with
//   Attributes, Arguments: types, the latter derived from Arguments below
//   kTarget: the name under which XLA finds the handler
//   ForEachAttribute(attributes, visit): visit(name, value) for each but the dtype T, to read them
//     all, or to write them
//   CheckAttributes(attributes): InvalidArgument if they don't fit
//   ReadArguments(attributes, storage, inputs, &arguments): InvalidArgument if attributes or shapes
//     don't fit, as far as they are known. `inputs` are those of the op, in order
//   CheckValues(arguments): InvalidArgument if what the arrays hold does not fit
//   Results(arguments): what the op gives, in order
//   Scratch(arguments): how many floats of scratch memory Run needs
//   Run(arguments, results, scratch, parallel_for): the work, into arrays for Results
// all static.
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
using Shape = absl::InlinedVector<int64_t, 4>;  // kUnknown where an axis is

// What the elements of an array are; of kStored, the op's dtype T.
enum class Elements { kStored, kBool, kInt32, kFloat32 };

// A row of an op's table. The axes are separated by spaces; a letter stands for a size: "T" for
// that of axis T, "t" for that or 1, "4U" for four times that of axis U; "2" is 2.
struct Input {
  const char* name;
  std::string_view axes;
  Elements elements;
};

struct InputArray {
  std::optional<Shape> shape;  // none: not even the rank is known
  const void* data;            // not read by what needs only shapes
};

struct Result {
  Shape shape;
  Elements elements;
};

// The inputs by their rows in the table, and what their shapes say of the axes.
struct Arguments {
  absl::Span<const Input> table;
  std::vector<int> rows;  // of the op's inputs, in order; those left out are not given
  Storage storage;
  std::vector<Shape> shapes;      // by row: of the right rank, kUnknown where unknown
  std::vector<const void*> data;  // by row; null if not given, and only then
  int64_t sizes[26];              // by the letter of the axis
  int sources[26];                // the row that gave the size

  bool Has(int row) const { return data[row] != nullptr; }
  int64_t Size(char letter) const { return sizes[letter - 'A']; }
  int Source(char letter) const { return sources[letter - 'A']; }
  Shape ShapeOf(std::string_view axes) const;
  std::string Received(int row) const;  // "bias of shape [2,?,7,9]"
};

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// Fills in all of `arguments`, or says which input does not fit its row and which earlier one it
// contradicts; then `arguments` holds what was learned before.
absl::Status ReadInputs(absl::Span<const Input> table, const std::vector<int>& rows,
                        Storage storage, const std::vector<InputArray>& inputs,
                        Arguments* arguments);

// InvalidArgument if the attribute num_<name> is not 0 or 1.
absl::Status CheckNoneOrOne(const char* name, int64_t count);

// InvalidArgument if one of the int32 lengths is not within [0, size of the axis].
absl::Status CheckLengths(const Arguments& arguments, int row, char axis);

// Whether the product of those sizes that are known fits 64 bits, were those of 0 1.
bool ProductFits(std::initializer_list<int64_t> sizes);
// The core multiplies the number of rows of an array by no more: sizes, copies, bytes.
inline constexpr int64_t kMaxFactor = int64_t{1} << 20;

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_ARGUMENTS_H_
