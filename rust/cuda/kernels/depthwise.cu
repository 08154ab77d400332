// Causal convolution of each channel by itself. A thread takes an output, or a float of what is remembered.

struct DepthwiseArguments {
    const float* x;         // (rows, steps, channels)
    const float* taps;      // (kernel, channels): the tap of the oldest input first
    const float* bias;      // (channels), or null
    const float* residual;  // as out, or null
    float* out;             // (rows, outputs, channels)
    const Session* sessions;
    u32* faults;
    u64 offset;             // of the history in a row's state, in floats
    u32 steps, outputs, channels;
    u32 kernel, stride, dilation;
    u32 history;            // inputs before a step that its outputs see
    u32 replicate;          // whether the first and the last input go on past the clip's ends, and not zeros
    u32 activation, padding;
};

// Input `step` of a channel: from `history` steps before the first to what fills the last output up.
__device__ __forceinline__ float input(const DepthwiseArguments& a, const float* x, const float* old, i64 step, u32 channel) {
    if (step < 0) {
        if (old) return old[(u64)(step + a.history) * a.channels + channel];
        return a.replicate ? x[channel] : 0.0f;
    }
    if (step >= a.steps) return a.replicate ? x[(u64)(a.steps - 1) * a.channels + channel] : 0.0f;
    return x[(u64)step * a.channels + channel];
}

extern "C" __global__ void __launch_bounds__(256) depthwise(const DepthwiseArguments a) {
    u32 row = blockIdx.y;
    if (rests(a.sessions, row)) return;
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x, outputs = (u64)a.outputs * a.channels;
    u64 remembered = (u64)a.history * a.channels;
    const float* x = a.x + (u64)row * a.steps * a.channels;
    Memory memory = memory_of(a.sessions, row, a.offset, remembered);
    if (i < outputs) {
        u32 channel = (u32)(i % a.channels);
        i64 first = (i64)(i / a.channels) * a.stride - a.history;
        float sum = a.bias ? a.bias[channel] : 0.0f;
        for (u32 k = 0; k < a.kernel; k++) {
            float value = input(a, x, memory.old, first + (i64)k * a.dilation, channel);
            sum = fmaf(value, a.taps[(u64)k * a.channels + channel], sum);
        }
        u64 at = row * outputs + i;
        a.out[at] = finish(sum, a.residual, at, a.activation);
    } else if (i - outputs < remembered) {
        i -= outputs;
        i64 step = (i64)a.outputs * a.stride - a.history + (i64)(i / a.channels);
        float value = input(a, x, memory.old, step, (u32)(i % a.channels));
        if (step >= 0 && !is_finite(value)) a.faults[FAULT_CONVOLUTION] = 1;
        if (memory.kept) memory.kept[i] = value;
    }
}
