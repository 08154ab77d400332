// Between tensors of a caller, of any strides, and the signals and codes of a step. A thread takes an element of a row.

struct TensorArguments {
    const void* from;
    void* to;
    u32* faults;
    u64 row, step, channel;  // elements of the caller's tensor from one to the next
    u32 steps, channels;
    u32 entries, padding;    // of a codebook
};

// The element of the caller's tensor, and that of the step's, which is `(rows, steps, channels)`.
struct Element {
    u64 own, theirs;
    bool is_there;
};

__device__ __forceinline__ Element element_of(const TensorArguments& a) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
    u64 length = (u64)a.steps * a.channels;
    return {row * length + i, row * a.row + i / a.channels * a.step + i % a.channels * a.channel, i < length};
}

extern "C" __global__ void __launch_bounds__(256) bring_floats(const TensorArguments a) {
    Element element = element_of(a);
    if (element.is_there) ((float*)a.to)[element.own] = ((const float*)a.from)[element.theirs];
}

extern "C" __global__ void __launch_bounds__(256) bring_codes(const TensorArguments a) {
    Element element = element_of(a);
    if (!element.is_there) return;
    i64 code = ((const i64*)a.from)[element.theirs];
    bool fits = code >= 0 && code < (i64)a.entries;
    if (!fits) a.faults[FAULT_CODE] = 1;
    ((u32*)a.to)[element.own] = fits ? (u32)code : 0;
}

extern "C" __global__ void __launch_bounds__(256) take_floats(const TensorArguments a) {
    Element element = element_of(a);
    if (!element.is_there) return;
    float value = ((const float*)a.from)[element.own];
    if (!is_finite(value)) a.faults[FAULT_OUTPUT] = 1;
    ((float*)a.to)[element.theirs] = value;
}

extern "C" __global__ void __launch_bounds__(256) take_codes(const TensorArguments a) {
    Element element = element_of(a);
    if (element.is_there) ((i64*)a.to)[element.theirs] = (i64)((const u32*)a.from)[element.own];
}
