// Kernels for tests of the driver layer itself, in builds for tests only.

struct ProbeAdd {
    float* values;
    const float* addends;
    u32 length;
};

// values[i] += addends[i]
extern "C" __global__ void probe_add(const ProbeAdd probe) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < probe.length) probe.values[i] += probe.addends[i];
}

struct ProbeShared {
    u32* sums;
};

// sums[block] = the sum of the numbers of the block's threads, through dynamic shared memory
extern "C" __global__ void probe_shared(const ProbeShared probe) {
    extern __shared__ u32 numbers[];
    numbers[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (threadIdx.x == 0) {
        u32 sum = 0;
        for (u32 i = 0; i < blockDim.x; ++i) sum += numbers[i];
        probe.sums[blockIdx.x] = sum;
    }
}
