// Normalisations over the channels of each step. Half a warp takes a step, and sums as a vector of the CPU does.

struct NormArguments {
    const float* x;       // (rows, steps, channels)
    const float* weight;  // (channels)
    const float* bias;    // (channels), or null for the RMS norm
    float* out;           // as x
    const Session* sessions;
    u32 rows, steps, channels;
    float epsilon;
};

__device__ __forceinline__ void layer_norm(const NormArguments& a, const float* x, float* out, u32 lane) {
    float scale = 1.0f / (float)a.channels;
    float sum = 0.0f;
    for (u32 c = lane; c < a.channels; c += LANES) sum += x[c];
    float mean = lanes_in_order(sum) * scale;
    float squares = 0.0f;
    for (u32 c = lane; c < a.channels; c += LANES) {
        float centred = x[c] - mean;
        squares = fmaf(centred, centred, squares);
    }
    float inverse = 1.0f / sqrtf(lanes_in_order(squares) * scale + a.epsilon);
    for (u32 c = lane; c < a.channels; c += LANES) out[c] = fmaf((x[c] - mean) * inverse, a.weight[c], a.bias[c]);
}

__device__ __forceinline__ void rms_norm(const NormArguments& a, const float* x, float* out, u32 lane) {
    float scale = 1.0f / (float)a.channels;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (u32 from = lane; from < a.channels; from += 4 * LANES) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 c = from + i * LANES;
            if (c < a.channels) sums[i] = fmaf(x[c], x[c], sums[i]);
        }
    }
    float squares = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float inverse = 1.0f / sqrtf(lanes_by_halves(squares) * scale + a.epsilon);
    for (u32 c = lane; c < a.channels; c += LANES) out[c] = (x[c] * inverse) * a.weight[c];
}

extern "C" __global__ void __launch_bounds__(256) normalise(const NormArguments a) {
    u64 count = (u64)a.rows * a.steps;
    u64 step = (u64)blockIdx.x * (blockDim.x / LANES) + threadIdx.x / LANES;
    // All lanes of a warp take part in its sums: those without a step of their own repeat the last one, and write nothing.
    bool there = step < count;
    u64 at = (there ? step : count - 1) * a.channels;
    u32 lane = threadIdx.x % LANES;
    bool writes = there && !rests(a.sessions, (u32)(step / a.steps));
    if (__ballot_sync(0xffffffffu, writes) == 0) return;
    NormArguments own = a;
    if (!writes) own.channels = 0;
    if (a.bias) {
        layer_norm(own, a.x + at, a.out + at, lane);
    } else {
        rms_norm(own, a.x + at, a.out + at, lane);
    }
}
