// Kernels that try what the host has in place of a GPU.

typedef unsigned int u32;
typedef unsigned long long u64;

struct Arguments {
    const float* x;
    float* out;
    u32 count, rows;  // a comment; with a semicolon
    u64 last;
};

struct Counter {
    u32* words;
    u64* longs;
};

// Each block turns its part of x around.
extern "C" __global__ void __launch_bounds__(64) reverse(const Arguments a) {
    __shared__ float part[64];
    u32 at = blockIdx.x * blockDim.x + threadIdx.x;
    part[threadIdx.x] = a.x[at];
    __syncthreads();
    a.out[at] = part[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void reverse_without_barrier(const Arguments a) {
    extern __shared__ float part[];
    part[threadIdx.x] = a.x[threadIdx.x];
    a.out[threadIdx.x] = part[blockDim.x - 1 - threadIdx.x];
}

// Sums of 16 lanes in their order, and of a warp by halves.
extern "C" __global__ void warp_sums(const Arguments a) {
    float value = a.x[threadIdx.x], sum = 0.0f;
    for (int lane = 0; lane < 16; lane++) sum += __shfl_sync(0xffffffff, value, lane, 16);
    a.out[threadIdx.x] = sum;
    for (int by = 16; by > 0; by /= 2) value += __shfl_down_sync(0xffffffff, value, by);
    a.out[64 + threadIdx.x] = value;
    float up = __shfl_up_sync(0xffffffff, a.x[threadIdx.x], 1), across = __shfl_xor_sync(0xffffffff, a.x[threadIdx.x], 1);
    u32 ballot = __ballot_sync(0xffffffff, threadIdx.x % 3 == 0);
    a.out[128 + threadIdx.x] = up;
    a.out[192 + threadIdx.x] = across + (float)__popc(ballot) + (__any_sync(0xffffffff, threadIdx.x == 40) ? 100.0f : 0.0f);
}

extern "C" __global__ void atomics(const Counter a) {
    __shared__ u32 sum;
    if (threadIdx.x == 0) sum = 0;
    __syncthreads();
    atomicAdd(&sum, threadIdx.x);
    __syncthreads();
    if (threadIdx.x == 0) {
        atomicAdd(&a.words[0], sum);
        atomicOr(&a.words[1], 1u << blockIdx.x);
        atomicInc(&a.words[2], gridDim.x - 1);
        atomicExch(&a.words[3], 7u);
    }
    atomicMin(&a.longs[0], (u64)(threadIdx.x ^ 5) << 32 | blockIdx.x);
}

extern "C" __global__ void poisoned(const Arguments a) {
    __shared__ float fixed[8];
    extern __shared__ __align__(16) float4 free[];
    if (threadIdx.x < 8) a.out[threadIdx.x] = fixed[threadIdx.x] + free[0].x;
    __syncthreads();
    fixed[threadIdx.x % 8] = 1.0f;
    free[0].x = 1.0f;
}

extern "C" __global__ void leaves_before_the_barrier(const Arguments a) {
    if (threadIdx.x == 3) return;
    __syncthreads();
    a.out[threadIdx.x] = 1.0f;
}

extern "C" __global__ void two_barriers(const Arguments a) {
    if (threadIdx.x < 32) __syncthreads();
    else __syncwarp();
    a.out[threadIdx.x] = 1.0f;
}

extern "C" __global__ void behind_shared_memory(const Arguments a) {
    extern __shared__ float part[];
    part[threadIdx.x] = a.x[threadIdx.x];
}

extern "C" __global__ void misaligned(const Arguments a) { *(float4*)a.out = *(const float4*)(a.x + 1); }
