// The normalisation of the rows of a product of few rows, in shared memory: in the order of the CPU's 16 lanes
// (rust/kernels/src/norm.rs).

// Where a segment of a row lies among the inputs of a product of few rows.
__device__ __forceinline__ u32 few_at(u32 row, u32 segments, u32 k) {
    return (row * segments + k / PART) * (PART + 4) + k % PART;
}

// Normalises whole rows in place. `numbers` has room for two of each row. All 256 threads of the block call it.
__device__ __forceinline__ void few_normalise(const ProductArguments& p, float* x, float* numbers, u32 rows, u32 segments) {
    const u32 thread = threadIdx.x, lane = thread % LANES, depth = p.depth;
    // On their way while the sums are taken. A block sees at most 2048 depths.
    float weight[8], bias[8];
#pragma unroll
    for (u32 j = 0; j < 8; j++) {
        u32 k = thread + j * 256;
        weight[j] = k < depth ? __ldg(p.norm_weight + k) : 0.0f;
        bias[j] = k < depth && p.norm == NORM_LAYER ? __ldg(p.norm_bias + k) : 0.0f;
    }
    __syncthreads();
    // Whole warps, as they exchange their sums: what has no row of its own repeats the last.
    if (thread / 32 * 2 < rows) {
        u32 row = smaller(thread / LANES, rows - 1);
        float scale = 1.0f / (float)depth, mean = 0.0f, squares = 0.0f;
        if (p.norm == NORM_LAYER) {
            float sum = 0.0f;
#pragma unroll 8
            for (u32 k = lane; k < depth; k += LANES) sum += x[few_at(row, segments, k)];
            mean = lanes_in_order(sum) * scale;
#pragma unroll 8
            for (u32 k = lane; k < depth; k += LANES) {
                float centred = x[few_at(row, segments, k)] - mean;
                squares = fmaf(centred, centred, squares);
            }
            squares = lanes_in_order(squares);
        } else {
            // Four sums, of every fourth 16 channels.
            float sums[4];
#pragma unroll
            for (u32 part = 0; part < 4; part++) {
                sums[part] = 0.0f;
#pragma unroll 4
                for (u32 k = part * LANES + lane; k < depth; k += 4 * LANES) {
                    float value = x[few_at(row, segments, k)];
                    sums[part] = fmaf(value, value, sums[part]);
                }
            }
            squares = lanes_by_halves((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
        if (lane == 0 && thread / LANES < rows) {
            numbers[2 * row] = mean;
            numbers[2 * row + 1] = 1.0f / sqrtf(squares * scale + p.epsilon);
        }
    }
    __syncthreads();
    for (u32 row = 0; row < rows; row++) {
        float mean = numbers[2 * row], inverse = numbers[2 * row + 1];
#pragma unroll
        for (u32 j = 0; j < 8; j++) {
            u32 k = thread + j * 256;
            if (k >= depth) break;
            float* at = x + few_at(row, segments, k);
            *at = p.norm == NORM_LAYER ? fmaf((*at - mean) * inverse, weight[j], bias[j]) : *at * inverse * weight[j];
        }
    }
}
