// Passes over all elements that no other kernel could take on its way. A block takes a part of one row of the step.

struct PointwiseArguments {
    const float* x;       // (rows, length), of a gate (rows, steps, 2 channels)
    const float* second;  // (rows, length) to be added, or of a snake (2, channels): rates, then scales
    float* out;           // (rows, length); may be x, but not for a gate
    const Session* sessions;
    u64 length;           // of a row of `out`: steps times channels
    u64 lead;             // steps of a clip that are to be silent
    u32 channels, activation;
    u32 steps_per_frame, padding;
};

// The element of the row that a thread takes, if there is one to be taken.
__device__ __forceinline__ bool element(const PointwiseArguments& a, u64& i) {
    i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    return i < a.length && !rests(a.sessions, blockIdx.y);
}

extern "C" __global__ void __launch_bounds__(256) activation(const PointwiseArguments a) {
    u64 i, row = blockIdx.y * a.length;
    if (element(a, i)) a.out[row + i] = activate(a.activation, a.x[row + i]);
}

extern "C" __global__ void __launch_bounds__(256) add(const PointwiseArguments a) {
    u64 i, row = blockIdx.y * a.length;
    if (element(a, i)) a.out[row + i] = a.x[row + i] + a.second[row + i];
}

// The first half of the channels, through a function, times the second half.
extern "C" __global__ void __launch_bounds__(256) gate(const PointwiseArguments a) {
    u64 i, row = blockIdx.y * a.length;
    if (!element(a, i)) return;
    u64 step = i / a.channels;
    const float* x = a.x + 2 * row + step * a.channels + i;
    a.out[row + i] = activate(a.activation, x[0]) * x[a.channels];
}

extern "C" __global__ void __launch_bounds__(256) snake(const PointwiseArguments a) {
    u64 i, row = blockIdx.y * a.length;
    if (!element(a, i)) return;
    u32 channel = (u32)(i % a.channels);
    float x = a.x[row + i];
    float wave = sin_squared(x * a.second[channel]);
    a.out[row + i] = fmaf(wave, a.second[a.channels + channel], x);
}

// Zeros in place of the steps that lie before a row's clip, for a layer behind a delay.
extern "C" __global__ void __launch_bounds__(256) silence(const PointwiseArguments a) {
    u64 i, row = blockIdx.y * a.length;
    if (!element(a, i)) return;
    u64 position = a.sessions ? a.sessions[blockIdx.y].frames * a.steps_per_frame : 0;
    bool silent = position + i / a.channels < a.lead;
    a.out[row + i] = silent ? 0.0f : a.x[row + i];
}

struct CopyArguments {
    const float* x;
    float* out;
    u64 x_row, x_run;      // floats from one row to the next, and from one run of a row to the next
    u64 out_row, out_run;  // the same of `out`
    u64 length;            // floats of a run
    u32 runs, padding;     // of a row
};

// Runs of floats from one place to another.
extern "C" __global__ void __launch_bounds__(256) copy(const CopyArguments a) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= a.runs * a.length) return;
    u64 run = i / a.length, within = i % a.length;
    a.out[blockIdx.y * a.out_row + run * a.out_run + within] = a.x[blockIdx.y * a.x_row + run * a.x_run + within];
}
