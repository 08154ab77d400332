// The kernels of the text and the layout of its structs: the tables follow the text, and are made from it.

#pragma once

#include <stddef.h>

struct Kernel {
    const char* name;
    size_t size;  // of its arguments
    void (*call)(const void* arguments);
};

struct Field {
    const char* structure;
    const char* name;  // empty for the struct itself
    size_t offset, size;
};

extern const Kernel mimi_kernels[];
extern const unsigned mimi_kernel_count;
extern const Field mimi_fields[];
extern const unsigned mimi_field_count;

namespace {
template <class Function>
struct ArgumentsOf;
template <class T>
struct ArgumentsOf<void(T)> {
    typedef T Type;
};

template <auto* kernel>
constexpr Kernel kernel_of(const char* name) {
    typedef __typeof__(*kernel) Function;
    typedef typename ArgumentsOf<Function>::Type Arguments;
    return {name, sizeof(Arguments), [](const void* arguments) { kernel(*static_cast<const Arguments*>(arguments)); }};
}
}  // namespace
