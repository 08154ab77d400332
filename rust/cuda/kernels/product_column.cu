// The product with a matrix of one column in float32, whose outputs are samples: in the order of the CPU's 16 lanes
// (rust/kernels/src/column.rs). 16 threads take the lanes of 8 outputs one after another; then a thread adds up the lanes of
// each output.

enum { COLUMN_THREADS = 128, COLUMN_OUTPUTS = 8, COLUMN_ROWS = COLUMN_THREADS / LANES * COLUMN_OUTPUTS };

extern "C" __global__ void __launch_bounds__(COLUMN_THREADS, 8) product_column(const ProductArguments p) {
    __shared__ float sums[COLUMN_ROWS * (LANES + 1)];
    const u32 thread = threadIdx.x, lane = thread % LANES, first_row = blockIdx.x * COLUMN_ROWS;
    remember(p, (u64)blockIdx.x * COLUMN_THREADS + thread, (u64)gridDim.x * COLUMN_THREADS);
    for (u32 i = 0; i < COLUMN_OUTPUTS; i++) {
        u32 row = thread / LANES * COLUMN_OUTPUTS + i, m = first_row + row;
        const bool there = m < p.rows * p.outputs && !row_rests(p, m / p.outputs);
        const Left left = left_row(p, there ? m : 0);
        float sum = 0.0f;
        for (u32 run = 0; run < p.depth && there; run += p.run) {
            for (u32 k = lane; k < p.run; k += LANES) {
                const float* at = place(p, left, m, run + k);
                sum = fmaf(at ? *at : 0.0f, __ldg((const float*)p.weights + run + k), sum);
            }
        }
        sums[row * (LANES + 1) + lane] = sum;
    }
    __syncthreads();
    u32 m = first_row + thread;
    if (thread >= COLUMN_ROWS || m >= p.rows * p.outputs) return;
    float sum = 0.0f;
    for (u32 lane = 0; lane < LANES; lane++) sum += sums[thread * (LANES + 1) + lane];
    store_sum(p, m, 0, __ldg(p.bias) + sum);
}
