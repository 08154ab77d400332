// The product of many rows: tiles of the left matrix and of the weights go through shared memory, a chunk of depths after
// the other, and each thread takes several rows by several columns of the output in registers. The next chunk is on its way
// while one is worked on.

enum { MANY_THREADS = 128 };

// Rows, columns and depths of a tile, and rows and columns of a thread.
template <int rows, int columns, int depths, int thread_rows, int thread_columns> struct Tile {
    enum {
        ROWS = rows,
        COLUMNS_WIDE = columns,
        DEPTHS = depths,
        TALL = thread_rows,
        WIDE = thread_columns,
        ACROSS = columns / thread_columns,  // threads
        DOWN = rows / thread_rows,
        QUADS = depths / 4,
        // Floats between rows of the left matrix, and fours between quads of weights: so that the banks differ.
        X_STRIDE = depths + 4,
        W_STRIDE = columns + 4,
        OUT_STRIDE = columns + columns / thread_columns,
        STORED_DOWN = MANY_THREADS / columns,  // rows that are stored at a time
        STORED = 8,  // outputs that a thread has in its registers then
        X_FOURS = rows * QUADS / MANY_THREADS,
        W_FOURS = columns * QUADS / MANY_THREADS
    };
    static_assert(ACROSS * DOWN == MANY_THREADS, "a thread for each of a tile's parts");
};

typedef Tile<32, 32, 64, 2, 4> Small;
typedef Tile<64, 64, 32, 8, 4> Large;

// Adds the products of a quad of depths.
template <class T>
__device__ __forceinline__ void many_quad(float (&sums)[T::TALL][T::WIDE], const float* x, const float4* w) {
    float4 weights[T::WIDE];
#pragma unroll
    for (u32 j = 0; j < T::WIDE; j++) weights[j] = w[j * T::ACROSS];
#pragma unroll
    for (u32 i = 0; i < T::TALL; i++) {
        float4 v = *(const float4*)(x + i * T::DOWN * T::X_STRIDE);
#pragma unroll
        for (u32 j = 0; j < T::WIDE; j++) {
            sums[i][j] = fmaf(v.x, weights[j].x, sums[i][j]);
            sums[i][j] = fmaf(v.y, weights[j].y, sums[i][j]);
            sums[i][j] = fmaf(v.z, weights[j].z, sums[i][j]);
            sums[i][j] = fmaf(v.w, weights[j].w, sums[i][j]);
        }
    }
}

// Adds the products of the depths from `from` up to `to` of a chunk, in their order.
template <class T>
__device__ __forceinline__ void many_multiply(float (&sums)[T::TALL][T::WIDE], const float* x, const float4* w, u32 from,
                                              u32 to) {
    if (to - from == T::DEPTHS) {
#pragma unroll
        for (u32 quad = 0; quad < T::QUADS; quad++) many_quad<T>(sums, x + quad * 4, w + quad * T::W_STRIDE);
        return;
    }
#pragma unroll 1
    for (u32 k = from; k < to;) {
        if (k % 4 == 0 && k + 4 <= to) {
            many_quad<T>(sums, x + k, w + k / 4 * T::W_STRIDE);
            k += 4;
            continue;
        }
        // Only where a sum begins or ends within a quad.
        const float* column = (const float*)(w + k / 4 * T::W_STRIDE) + k % 4;
#pragma unroll
        for (u32 i = 0; i < T::TALL; i++) {
            float v = x[i * T::DOWN * T::X_STRIDE + k];
#pragma unroll
            for (u32 j = 0; j < T::WIDE; j++) sums[i][j] = fmaf(v, column[j * T::ACROSS * 4], sums[i][j]);
        }
        k++;
    }
}

template <int precision, class T>
__device__ __forceinline__ void product_many(const ProductArguments& p) {
    typedef typename Stored<precision>::Four Four;
    extern __shared__ float4 many_shared[];
    enum { X_FLOATS = T::ROWS * T::X_STRIDE, W_FLOAT4S = T::QUADS * T::W_STRIDE };
    float4* const w_tiles = many_shared;                      // (2, QUADS, W_STRIDE)
    float* const x_tiles = (float*)(w_tiles + 2 * W_FLOAT4S);  // (2, ROWS, X_STRIDE)
    Left* const lefts = (Left*)(x_tiles + 2 * X_FLOATS);       // (ROWS); null for those that rest, and past the last

    const u32 thread = threadIdx.x, rows = p.rows * p.outputs;
    const u32 first_row = blockIdx.x * T::ROWS, first_column = blockIdx.y * T::COLUMNS_WIDE;
    const u32 from = blockIdx.z * p.block_depth, to = smaller(p.depth, from + p.block_depth);
    const u64 block = ((u64)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;

    bool live = false;
    for (u32 i = thread; i < T::ROWS; i += MANY_THREADS) {
        const u32 m = first_row + i;
        const bool there = m < rows && !row_rests(p, m / p.outputs);
        lefts[i] = there ? left_row(p, m) : Left{nullptr, 0, 0};
        live = live || there;
    }
    live = __syncthreads_or(live);

    const u32 panel_count = blocks_of(p.columns, COLUMNS), quad_count = blocks_of(p.depth, 4);
    float4 x_next[T::X_FOURS];
    Four w_next[T::W_FOURS];
    auto fetch = [&](u32 chunk) {
#pragma unroll
        for (u32 j = 0; j < T::W_FOURS; j++) {
            u32 i = thread + j * MANY_THREADS, c = i % COLUMNS, quad = chunk / 4 + i / COLUMNS % T::QUADS;
            u32 panel = first_column / COLUMNS + i / (COLUMNS * T::QUADS);
            w_next[j] = Four();
            if (panel < panel_count && quad < quad_count) {
                w_next[j] = __ldg((const Four*)p.weights + ((u64)panel * quad_count + quad) * COLUMNS + c);
            }
        }
#pragma unroll
        for (u32 j = 0; j < T::X_FOURS; j++) {
            u32 i = thread + j * MANY_THREADS, row = i / T::QUADS;
            const Left left = lefts[row];
            x_next[j] = four_of(p, left, first_row + row, chunk + i % T::QUADS * 4, left.at ? to : 0);
        }
    };
    auto put = [&](u32 copy) {
#pragma unroll
        for (u32 j = 0; j < T::W_FOURS; j++) {
            u32 i = thread + j * MANY_THREADS, column = i / (COLUMNS * T::QUADS) * COLUMNS + i % COLUMNS;
            w_tiles[copy * W_FLOAT4S + i / COLUMNS % T::QUADS * T::W_STRIDE + column] =
                Stored<precision>::widen(w_next[j]);
        }
#pragma unroll
        for (u32 j = 0; j < T::X_FOURS; j++) {
            u32 i = thread + j * MANY_THREADS;
            *(float4*)(x_tiles + copy * X_FLOATS + i / T::QUADS * T::X_STRIDE + i % T::QUADS * 4) = x_next[j];
        }
    };

    const u32 across = thread % T::ACROSS, down = thread / T::ACROSS;
    const u32 m0 = first_row + down, n0 = first_column + across;
    const u32 width = panel_count * COLUMNS;
    float whole[T::TALL][T::WIDE], sums[T::TALL][T::WIDE], group[T::TALL][T::WIDE];
#pragma unroll
    for (u32 j = 0; j < T::WIDE; j++) {
        u32 n = n0 + j * T::ACROSS;
        float bias = from == 0 && n < p.columns ? __ldg(p.bias + n) : 0.0f;
#pragma unroll
        for (u32 i = 0; i < T::TALL; i++) {
            sums[i][j] = bias;
            whole[i][j] = group[i][j] = 0.0f;
        }
    }
    u32 part = parts_before(p, from), end = part_end(p, from);

    // Adds what is in a copy of the tiles, and ends the parts that end in it.
    auto add = [&](u32 copy, u32 chunk, u32 chunk_end) {
        const float* x = x_tiles + copy * X_FLOATS + down * T::X_STRIDE;
        const float4* w = w_tiles + copy * W_FLOAT4S + across;
        for (u32 k = chunk; k < chunk_end;) {
            u32 stop = smaller(chunk_end, end);
            if (precision == INT8) {
                u32 group_end = (k / GROUP + 1) * GROUP;
                stop = smaller(stop, group_end);
                many_multiply<T>(group, x, w, k - chunk, stop - chunk);
                if (stop == end || stop == group_end) {
#pragma unroll
                    for (u32 j = 0; j < T::WIDE; j++) {
                        u32 n = n0 + j * T::ACROSS;
                        float scale = n < p.columns ? __ldg(p.scales + (u64)(k / GROUP) * width + n) : 0.0f;
#pragma unroll
                        for (u32 i = 0; i < T::TALL; i++) {
                            sums[i][j] = fmaf(group[i][j], scale, sums[i][j]);
                            group[i][j] = 0.0f;
                        }
                    }
                }
            } else {
                many_multiply<T>(sums, x, w, k - chunk, stop - chunk);
            }
            k = stop;
            if (stop != end) continue;
            float* const keep = kept(p, part, m0, n0);
#pragma unroll
            for (u32 i = 0; i < T::TALL; i++) {
#pragma unroll
                for (u32 j = 0; j < T::WIDE; j++) {
                    if (!p.splits) {
                        whole[i][j] = part == 0 ? sums[i][j] : whole[i][j] + sums[i][j];
                    } else if (m0 + i * T::DOWN < rows && n0 + j * T::ACROSS < p.columns) {
                        keep[(u64)(i * T::DOWN) * p.columns + j * T::ACROSS] = sums[i][j];
                    }
                    sums[i][j] = 0.0f;
                }
            }
            part++;
            end = part_end(p, end);
        }
    };

    // Each turn puts away a chunk that the next one adds; the copy that it overwrites was read before the last barrier.
    u32 copy = 0;
    for (u32 next = from;; next += T::DEPTHS) {
        if (live && next < to) fetch(next);
        if (next == from) {
            remember(p, block * MANY_THREADS + thread, (u64)gridDim.x * gridDim.y * gridDim.z * MANY_THREADS);
            if (!live) return;
        } else {
            add(copy, next - T::DEPTHS, smaller(next, to));
        }
        if (next >= to) break;
        copy = 1 - copy;
        put(copy);
        __syncthreads();
    }

    // From here on a thread takes outputs that its neighbours' lie beside, so that they are read and written together.
    float* const out = (float*)many_shared;  // (ROWS, OUT_STRIDE)
    if (p.splits) {
        if (!arrives_last(p, blockIdx.y * gridDim.x + blockIdx.x, gridDim.z)) return;
    } else {
        __syncthreads();
#pragma unroll
        for (u32 i = 0; i < T::TALL; i++) {
#pragma unroll
            for (u32 j = 0; j < T::WIDE; j++) out[(down + i * T::DOWN) * T::OUT_STRIDE + across + j * T::ACROSS] = whole[i][j];
        }
        __syncthreads();
    }
    const u32 column = thread % T::COLUMNS_WIDE, n = first_column + column;
    if (n >= p.columns) return;
    if (p.splits || p.residual) {
        const u32 parts = p.splits ? part_count(p) : 0;
#pragma unroll 1
        for (u32 first = thread / T::COLUMNS_WIDE; first < T::ROWS; first += T::STORED * T::STORED_DOWN) {
            float values[T::STORED];
#pragma unroll
            for (u32 j = 0; j < T::STORED; j++) values[j] = out[(first + j * T::STORED_DOWN) * T::OUT_STRIDE + column];
#pragma unroll 1
            for (u32 part = 0; part < parts; part++) {
#pragma unroll
                for (u32 j = 0; j < T::STORED; j++) {
                    const u32 row = first + j * T::STORED_DOWN;
                    if (!lefts[row].at) continue;
                    const float value = __ldcg(kept(p, part, first_row + row, n));
                    values[j] = part == 0 ? value : values[j] + value;
                }
            }
#pragma unroll
            for (u32 j = 0; j < T::STORED; j++) {
                const u32 row = first + j * T::STORED_DOWN;
                if (p.residual && lefts[row].at) values[j] += p.residual[(u64)(first_row + row) * p.columns + n];
            }
#pragma unroll
            for (u32 j = 0; j < T::STORED; j++) out[(first + j * T::STORED_DOWN) * T::OUT_STRIDE + column] = values[j];
        }
    }
#pragma unroll 2
    for (u32 row = thread / T::COLUMNS_WIDE; row < T::ROWS; row += T::STORED_DOWN) {
        if (!lefts[row].at) continue;
        p.out[(u64)(first_row + row) * p.columns + n] = activate(p.activation, out[row * T::OUT_STRIDE + column]);
    }
}

extern "C" __global__ void __launch_bounds__(MANY_THREADS, 3) product_small_float32(const ProductArguments p) {
    product_many<FLOAT32, Small>(p);
}
extern "C" __global__ void __launch_bounds__(MANY_THREADS, 3) product_small_bfloat16(const ProductArguments p) {
    product_many<BFLOAT16, Small>(p);
}
extern "C" __global__ void __launch_bounds__(MANY_THREADS, 3) product_small_int8(const ProductArguments p) {
    product_many<INT8, Small>(p);
}
extern "C" __global__ void __launch_bounds__(MANY_THREADS, 2) product_large_float32(const ProductArguments p) {
    product_many<FLOAT32, Large>(p);
}
extern "C" __global__ void __launch_bounds__(MANY_THREADS, 2) product_large_bfloat16(const ProductArguments p) {
    product_many<BFLOAT16, Large>(p);
}
extern "C" __global__ void __launch_bounds__(MANY_THREADS, 2) product_large_int8(const ProductArguments p) {
    product_many<INT8, Large>(p);
}
