// What all kernels share: the sessions of a step, the faults they report, and the arithmetic of the CPU's kernels.
//
// The text has no includes, as NVRTC has no headers of the host. Products and sums are never contracted by the compiler
// (--fmad=false): a fused multiply-add stands where the CPU has one.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// A row of a step. Its state is one piece of device memory, in which each layer has its place.
struct Session {
    float* state;  // null for a row that rests: its values mean nothing and nothing of it is written
    u64 frames;    // frames that it has seen: its position; at 0 what its state holds is not read
    u32 parity;    // which of the two copies of a history is the newest
    u32 padding;
};

// Words that kernels set to other than zero where values cannot be gone on with.
enum Fault { FAULT_CONVOLUTION = 0, FAULT_ATTENTION = 1, FAULT_DISTANCE = 2, FAULT_CODE = 3, FAULT_OUTPUT = 4, FAULTS = 5 };

__device__ __forceinline__ bool is_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }
