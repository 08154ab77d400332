// Sums within half a warp, in the order of the CPU's 16 lanes. All lanes of the warp call them.

enum { LANES = 16 };

// The sum of 16 lanes in their order; all of them get it.
__device__ __forceinline__ float lanes_in_order(float value) {
    float sum = 0.0f;
#pragma unroll
    for (u32 lane = 0; lane < LANES; lane++) sum += __shfl_sync(0xffffffffu, value, lane, LANES);
    return sum;
}

// The sum of 16 lanes by halves; all of them get it.
__device__ __forceinline__ float lanes_by_halves(float value) {
#pragma unroll
    for (u32 half = LANES / 2; half > 0; half /= 2) value += __shfl_down_sync(0xffffffffu, value, half, LANES);
    return __shfl_sync(0xffffffffu, value, 0, LANES);
}
