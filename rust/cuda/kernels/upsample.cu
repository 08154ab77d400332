// The depthwise transposed convolution with a kernel of whole strides. A thread takes an output, or a float of what is
// remembered.

struct UpsampleArguments {
    const float* x;         // (rows, steps, channels)
    const float* taps;      // ((history + 1) * stride, channels), tap by tap
    const float* residual;  // as out, or null
    float* out;             // (rows, steps * stride, channels)
    const Session* sessions;
    u32* faults;
    u64 offset;             // of the history in a row's state, in floats
    u32 steps, channels, stride;
    u32 history;            // inputs before a step that its outputs see
};

extern "C" __global__ void __launch_bounds__(256) upsample(const UpsampleArguments a) {
    u32 row = blockIdx.y;
    if (rests(a.sessions, row)) return;
    u64 width = (u64)a.stride * a.channels, outputs = a.steps * width, remembered = (u64)a.history * a.channels;
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    const float* x = a.x + (u64)row * a.steps * a.channels;
    Memory memory = memory_of(a.sessions, row, a.offset, remembered);
    u32 channel = (u32)(i % a.channels);
    // Input `step`, counted from the first that is remembered.
    auto input = [&](u64 step) -> float {
        if (step >= a.history) return x[(step - a.history) * a.channels + channel];
        return memory.old ? memory.old[step * a.channels + channel] : 0.0f;
    };
    if (i < outputs) {
        u64 step = i / width, within = i % width;
        // The oldest input meets the last taps.
        float sum = input(step) * a.taps[a.history * width + within];
        for (u32 k = 1; k <= a.history; k++) sum = fmaf(input(step + k), a.taps[(a.history - k) * width + within], sum);
        u64 at = row * outputs + i;
        a.out[at] = a.residual ? sum + a.residual[at] : sum;
    } else if (i - outputs < remembered) {
        i -= outputs;
        u64 step = a.steps + i / a.channels;
        float value = input(step);
        if (step >= a.history && !is_finite(value)) a.faults[FAULT_CONVOLUTION] = 1;
        if (memory.kept) memory.kept[i] = value;
    }
}
