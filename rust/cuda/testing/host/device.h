// What the kernels' text finds on a GPU, for the host's compiler: names of threads, shared memory, barriers and
// exchanges within a warp, atomics, and arithmetic that is rounded as on the device.

#pragma once

#define __global__ [[gnu::noinline]]
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// Between these two symbols lies the memory that is poisoned before each block.
#define __shared__ static __attribute__((section("mimi_shared")))

#define MIMI_HOST 1

#define MIMI_VECTORS(type, name)                                                        \
    struct alignas(2 * sizeof(type)) name##2 {                                          \
        type x, y;                                                                      \
    };                                                                                  \
    struct name##3 {                                                                    \
        type x, y, z;                                                                   \
    };                                                                                  \
    struct alignas(4 * sizeof(type) < 16 ? 4 * sizeof(type) : 16) name##4 {             \
        type x, y, z, w;                                                                \
    };                                                                                  \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }             \
    static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }  \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

MIMI_VECTORS(float, float)
MIMI_VECTORS(int, int)
MIMI_VECTORS(unsigned, uint)
MIMI_VECTORS(unsigned short, ushort)
MIMI_VECTORS(short, short)
MIMI_VECTORS(signed char, char)
MIMI_VECTORS(unsigned char, uchar)
MIMI_VECTORS(double, double)
#undef MIMI_VECTORS

typedef uint3 dim3;

extern "C" {
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
extern char mimi_dynamic_shared[];

// Waits for all threads of the block; returns the number of those whose value is not zero.
unsigned mimi_block_barrier(const char* name, unsigned value);

// Waits for the lanes of the mask, and returns what they have brought: 32 values, those of other lanes undefined.
const unsigned long long* mimi_warp_exchange(const char* name, unsigned mask, unsigned long long value);
}

static const int warpSize = 32;

// ---- Barriers and exchanges

static inline void __syncthreads() { mimi_block_barrier("__syncthreads", 0); }
static inline int __syncthreads_count(int value) { return int(mimi_block_barrier("__syncthreads_count", value != 0)); }
static inline int __syncthreads_or(int value) { return mimi_block_barrier("__syncthreads_or", value != 0) > 0; }
static inline int __syncthreads_and(int value) { return mimi_block_barrier("__syncthreads_and", value == 0) == 0; }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { mimi_warp_exchange("__syncwarp", mask, 0); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}

static inline unsigned mimi_lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}

template <class T>
static inline T mimi_shuffle(const char* name, unsigned mask, T value, int from) {
    static_assert(sizeof(T) <= 8, "shuffles move at most eight bytes");
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    bits = mimi_warp_exchange(name, mask, bits)[from];
    if (!(mask >> from & 1)) bits = ~0ull;
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

// A lane whose source lies outside its part of the warp keeps its own value.
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
    int lane = int(mimi_lane());
    return mimi_shuffle("__shfl_sync", mask, value, (lane & ~(width - 1)) | (from & (width - 1)));
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    int lane = int(mimi_lane()), from = lane ^ bits;
    return mimi_shuffle("__shfl_xor_sync", mask, value, (from & ~(width - 1)) > (lane & ~(width - 1)) ? lane : from);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    int lane = int(mimi_lane()), within = (lane & (width - 1)) + int(by);
    return mimi_shuffle("__shfl_down_sync", mask, value, within < width ? lane + int(by) : lane);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    int lane = int(mimi_lane()), within = (lane & (width - 1)) - int(by);
    return mimi_shuffle("__shfl_up_sync", mask, value, within >= 0 ? lane - int(by) : lane);
}

static inline unsigned __ballot_sync(unsigned mask, int value) {
    const unsigned long long* values = mimi_warp_exchange("__ballot_sync", mask, value != 0);
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < 32; lane++) ballot |= (mask >> lane & 1) ? unsigned(values[lane]) << lane : 0;
    return ballot;
}
static inline int __any_sync(unsigned mask, int value) { return __ballot_sync(mask, value) != 0; }
static inline int __all_sync(unsigned mask, int value) { return __ballot_sync(mask, value) == mask; }

// ---- Atomics: threads take turns at barriers only, so plain reads and writes are whole.

template <class T>
struct MimiSame {
    typedef T Type;
};
#define MIMI_ATOMIC(name, result)                                       \
    template <class T>                                                  \
    static inline T name(T* at, typename MimiSame<T>::Type value) {     \
        T old = *at;                                                    \
        *at = result;                                                   \
        return old;                                                     \
    }
MIMI_ATOMIC(atomicAdd, old + value)
MIMI_ATOMIC(atomicSub, old - value)
MIMI_ATOMIC(atomicExch, value)
MIMI_ATOMIC(atomicMin, value < old ? value : old)
MIMI_ATOMIC(atomicMax, value > old ? value : old)
MIMI_ATOMIC(atomicOr, old | value)
MIMI_ATOMIC(atomicAnd, old & value)
MIMI_ATOMIC(atomicXor, old ^ value)
#undef MIMI_ATOMIC

static inline unsigned atomicInc(unsigned* at, unsigned last) {
    unsigned old = *at;
    *at = old >= last ? 0 : old + 1;
    return old;
}
template <class T>
static inline T atomicCAS(T* at, typename MimiSame<T>::Type expected, typename MimiSame<T>::Type value) {
    T old = *at;
    if (old == expected) *at = value;
    return old;
}

// ---- Memory

template <class T>
static inline T __ldg(const T* at) { return *at; }
template <class T>
static inline T __ldcg(const T* at) { return *at; }
template <class T>
static inline T __ldcs(const T* at) { return *at; }
template <class T>
static inline T __ldca(const T* at) { return *at; }
template <class T>
static inline void __stcg(T* at, T value) { *at = value; }
template <class T>
static inline void __stcs(T* at, T value) { *at = value; }

// ---- Bits

template <class To, class From>
static inline To mimi_bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "bits of equal size");
    To bits;
    __builtin_memcpy(&bits, &value, sizeof(To));
    return bits;
}
static inline unsigned __float_as_uint(float value) { return mimi_bits<unsigned>(value); }
static inline int __float_as_int(float value) { return mimi_bits<int>(value); }
static inline float __uint_as_float(unsigned value) { return mimi_bits<float>(value); }
static inline float __int_as_float(int value) { return mimi_bits<float>(value); }
static inline int __popc(unsigned value) { return __builtin_popcount(value); }
static inline int __ffs(int value) { return __builtin_ffs(value); }
static inline int __clz(int value) { return value ? __builtin_clz(unsigned(value)) : 32; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }

// ---- Arithmetic

static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __int2float_rn(int a) { return float(a); }
static inline float __uint2float_rn(unsigned a) { return float(a); }
static inline int __float2int_rn(float a) { return int(__builtin_lrintf(a)); }
static inline int __float2int_rz(float a) { return int(a); }

// In a namespace that the text finds, but behind its own functions.
namespace mimi_library {
static inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float sqrtf(float a) { return __builtin_sqrtf(a); }
static inline float rintf(float a) { return __builtin_rintf(a); }
static inline float fabsf(float a) { return __builtin_fabsf(a); }
static inline float fmaxf(float a, float b) { return __builtin_fmaxf(a, b); }
static inline float fminf(float a, float b) { return __builtin_fminf(a, b); }
template <class T>
static inline T min(T a, T b) { return b < a ? b : a; }
template <class T>
static inline T max(T a, T b) { return a < b ? b : a; }
}  // namespace mimi_library
using namespace mimi_library;
