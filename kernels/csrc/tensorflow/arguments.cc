#include "tensorflow/arguments.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_join.h"

namespace ikelos {
namespace {

struct Axis {
  int64_t factor;
  char letter;  // a capital; 0: the size is the factor
  bool may_be_one;
};

absl::InlinedVector<Axis, 4> Parse(std::string_view axes) {
  absl::InlinedVector<Axis, 4> parsed;
  bool is_new = true;
  for (const char c : axes) {
    if (c == ' ') {
      is_new = true;
      continue;
    }
    if (is_new) {
      parsed.push_back({1, 0, false});
      is_new = false;
    }
    if ('0' <= c && c <= '9') {
      parsed.back().factor = c - '0';
    } else {
      parsed.back().may_be_one = 'a' <= c;
      parsed.back().letter = 'a' <= c ? static_cast<char>(c - 'a' + 'A') : c;
    }
  }
  return parsed;
}

// Such as "[B or 1, N or 1, T or 1, S or 1]" and "[D, 4 * U]".
std::string ShapeText(std::string_view axes) {
  return absl::StrCat("[",
                      absl::StrJoin(Parse(axes), ", ",
                                    [](std::string* text, const Axis& axis) {
                                      if (!axis.letter || axis.factor != 1) {
                                        absl::StrAppend(text, axis.factor,
                                                        axis.letter ? " * " : "");
                                      }
                                      if (axis.letter) {
                                        text->push_back(axis.letter);
                                      }
                                      absl::StrAppend(text, axis.may_be_one ? " or 1" : "");
                                    }),
                      "]");
}

// Checks the shape of one input and infers the sizes of axes from it.
absl::Status ReadShape(int row, Arguments* arguments) {
  const Shape& shape = arguments->shapes[row];
  const Input& input = arguments->table[row];
  const absl::InlinedVector<Axis, 4> axes = Parse(input.axes);
  if (shape.size() != axes.size()) {
    return Invalid("`", input.name, "` must have shape ", ShapeText(input.axes),
                   ". Received: ", arguments->Received(row), row == 0 ? "" : ", ",
                   row == 0 ? "" : arguments->Received(0));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    if (shape[i] == kUnknown || (axes[i].may_be_one && shape[i] == 1)) {
      continue;
    }
    if (axes[i].letter ? shape[i] % axes[i].factor != 0 : shape[i] != axes[i].factor) {
      return Invalid("`", input.name, "` must have shape ", ShapeText(input.axes),
                     ". Received: ", arguments->Received(row));
    }
    if (!axes[i].letter) {
      continue;
    }
    const int64_t received = shape[i] / axes[i].factor;
    int64_t& size = arguments->sizes[axes[i].letter - 'A'];
    int& source = arguments->sources[axes[i].letter - 'A'];
    if (size == kUnknown) {
      size = received;
      source = row;
    } else if (size != received) {
      return Invalid("`", input.name, "` must have shape ", ShapeText(input.axes), ", where ",
                     std::string(1, axes[i].letter), " = ", size, " as in `",
                     arguments->table[source].name, "`. Received: ", arguments->Received(row), ", ",
                     arguments->Received(source));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Shape Arguments::ShapeOf(std::string_view axes) const {
  Shape shape;
  for (const Axis& axis : Parse(axes)) {
    const int64_t size = axis.letter ? Size(axis.letter) : 1;
    shape.push_back(size == kUnknown ? kUnknown : axis.factor * size);
  }
  return shape;
}

std::string Arguments::Received(int row) const {
  return absl::StrCat(table[row].name, ".shape=[",
                      absl::StrJoin(shapes[row], ",",
                                    [](std::string* text, int64_t size) {
                                      absl::StrAppend(text,
                                                      size == kUnknown ? "?" : absl::StrCat(size));
                                    }),
                      "]");
}

absl::Status ReadInputs(absl::Span<const Input> table, const std::vector<int>& rows,
                        Storage storage, const std::vector<InputArray>& inputs,
                        Arguments* arguments) {
  // Null means "not given", but the address of an array without elements may be null too, and while
  // XLA compiles there are no addresses.
  alignas(8) static const char kNowhere[8] = {};
  arguments->table = table;
  arguments->rows = rows;
  arguments->storage = storage;
  arguments->shapes.assign(table.size(), {});
  arguments->data.assign(table.size(), nullptr);
  std::fill(std::begin(arguments->sizes), std::end(arguments->sizes), kUnknown);
  std::fill(std::begin(arguments->sources), std::end(arguments->sources), 0);
  if (rows.size() != inputs.size()) {
    return Invalid("The number of inputs must be ", rows.size(), ". Received: ", inputs.size());
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    arguments->data[rows[i]] = inputs[i].data ? inputs[i].data : kNowhere;
    arguments->shapes[rows[i]] =
        inputs[i].shape.value_or(Shape(Parse(table[rows[i]].axes).size(), kUnknown));
    if (absl::Status status = ReadShape(rows[i], arguments); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNoneOrOne(const char* name, int64_t count) {
  if (count == 0 || count == 1) {
    return absl::OkStatus();
  }
  return Invalid("`num_", name, "` must be 0 or 1. Received: num_", name, "=", count);
}

absl::Status CheckCounts(absl::Span<const Input> optional, absl::Span<const int64_t> counts) {
  absl::Status status;
  for (size_t i = 0; i < optional.size(); ++i) {
    status.Update(CheckNoneOrOne(optional[i].name, counts[i]));
  }
  return status;
}

absl::Status CheckLengths(const Arguments& arguments, int row, char axis) {
  if (!arguments.Has(row)) {
    return absl::OkStatus();
  }
  const char* name = arguments.table[row].name;
  const auto* lengths = static_cast<const int32_t*>(arguments.data[row]);
  const int64_t limit = arguments.Size(axis);
  for (int64_t b = 0; b < arguments.shapes[row][0]; ++b) {
    if (lengths[b] < 0 || lengths[b] > limit) {
      return Invalid("`", name, "` must be within 0 and ", std::string(1, axis), " = ", limit,
                     ". Received: ", name, "[", b, "]=", lengths[b]);
    }
  }
  return absl::OkStatus();
}

bool ProductFits(std::initializer_list<int64_t> sizes) {
  int64_t product = 1;
  for (const int64_t size : sizes) {
    if (size > 0 && __builtin_mul_overflow(product, size, &product)) {
      return false;
    }
  }
  return true;
}

}  // namespace ikelos
