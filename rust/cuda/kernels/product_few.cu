// The product of few rows, which is as fast as its weights come from memory. A block takes up to four panels by up to four
// segments of 512 depths, 32 KB of float32 weights, and asks for all of them before it waits for any. Then each of its first
// threads takes one column of one row through one segment, out of shared memory.

enum { FEW_THREADS = 256, FEW_CHAINS = 128, SEGMENT_QUADS = PART / 4, SEGMENT_FLOATS = PART + 4, FEW_AHEAD = 4, FEW_FOURS = 4 };

// Adds the products of the depths from `from` up to `to` of a segment to a sum, in their order. Quads of the column are
// COLUMNS apart.
template <int precision>
__device__ __forceinline__ float few_chain(float sum, const typename Stored<precision>::Four* column, const float* x,
                                           u32 from, u32 to) {
    typedef typename Stored<precision>::Four Four;
    u32 k = from;
    // Quads are read ahead of the additions, which wait for each other.
    if (k % 4 == 0 && k + 4 * FEW_AHEAD <= to) {
        Four w[FEW_AHEAD];
        float4 v[FEW_AHEAD];
#pragma unroll
        for (u32 i = 0; i < FEW_AHEAD; i++) {
            w[i] = column[(k / 4 + i) * COLUMNS];
            v[i] = *(const float4*)(x + k + 4 * i);
        }
#pragma unroll 1
        for (; k + 4 * FEW_AHEAD <= to; k += 4 * FEW_AHEAD) {
            const bool more = k + 8 * FEW_AHEAD <= to;
            Four w_next[FEW_AHEAD];
            float4 v_next[FEW_AHEAD];
#pragma unroll
            for (u32 i = 0; i < FEW_AHEAD; i++) {
                u32 quad = k / 4 + i + (more ? FEW_AHEAD : 0);
                w_next[i] = column[quad * COLUMNS];
                v_next[i] = *(const float4*)(x + 4 * quad);
            }
#pragma unroll
            for (u32 i = 0; i < FEW_AHEAD; i++) {
                float4 four = Stored<precision>::widen(w[i]);
                sum = fmaf(v[i].x, four.x, sum);
                sum = fmaf(v[i].y, four.y, sum);
                sum = fmaf(v[i].z, four.z, sum);
                sum = fmaf(v[i].w, four.w, sum);
                w[i] = w_next[i];
                v[i] = v_next[i];
            }
        }
    }
    // What is left over, and runs that begin within a quad.
#pragma unroll 1
    for (; k < to; k++) {
        float4 four = Stored<precision>::widen(column[k / 4 * COLUMNS]);
        u32 at = k % 4;
        sum = fmaf(x[k], at == 0 ? four.x : at == 1 ? four.y : at == 2 ? four.z : four.w, sum);
    }
    return sum;
}

// The same, group by group where these have scales. `first` is the segment's first depth, `scales` the column's.
template <int precision>
__device__ __forceinline__ float few_sum(const ProductArguments& p, float sum, const typename Stored<precision>::Four* column,
                                         const float* x, const float* scales, u32 first, u32 from, u32 to) {
    if (precision != INT8) return few_chain<precision>(sum, column, x, from, to);
    u32 width = blocks_of(p.columns, COLUMNS) * COLUMNS;
    while (from < to) {
        u32 end = smaller(to, (from / GROUP + 1) * GROUP);
        float scale = __ldg(scales + (u64)((first + from) / GROUP) * width);
        sum = fmaf(few_chain<precision>(0.0f, column, x, from, end), scale, sum);
        from = end;
    }
    return sum;
}

// Gathers what the block's rows see of the inputs between two depths.
__device__ __forceinline__ void few_inputs(const ProductArguments& p, float* x, u32 first_row, u32 rows, u32 from, u32 to) {
    const u32 bits = p.segment_bits + 7, fours = 1u << bits, count = rows << bits;  // 128 quads a segment
    auto put = [&](u32 i, float4 four) {
        u32 row = i >> bits, k = (i & (fours - 1)) * 4;
        *(float4*)(x + ((row << p.segment_bits) + k / PART) * SEGMENT_FLOATS + k % PART) = four;
    };
    auto get = [&](u32 i) {
        u32 row = i >> bits, m = first_row + row;
        return four_of(p, left_row(p, m), m, from + (i & (fours - 1)) * 4, to);
    };
    // All are on their way before any is waited for.
    float4 held[FEW_FOURS];
#pragma unroll
    for (u32 j = 0; j < FEW_FOURS; j++) {
        u32 i = threadIdx.x + j * FEW_THREADS;
        if (i < count) held[j] = get(i);
    }
#pragma unroll
    for (u32 j = 0; j < FEW_FOURS; j++) {
        u32 i = threadIdx.x + j * FEW_THREADS;
        if (i < count) put(i, held[j]);
    }
}

template <int precision>
__device__ __forceinline__ void product_few(const ProductArguments& p) {
    typedef typename Stored<precision>::Four Four;
    extern __shared__ uint4 few_shared[];
    enum { QUAD = COLUMNS * sizeof(Four), UNITS = QUAD / 16, SEGMENT = (SEGMENT_QUADS + 1) * UNITS };
    const u32 thread = threadIdx.x, panels = 1u << p.panel_bits, segments = 1u << p.segment_bits;
    const u32 first_row = blockIdx.z * p.block_rows, rows = smaller(p.block_rows, p.rows * p.outputs - first_row);
    const u32 first_panel = blockIdx.x << p.panel_bits, panel_count = blocks_of(p.columns, COLUMNS);
    const u32 from = blockIdx.y * p.block_depth, to = smaller(p.depth, from + p.block_depth);
    uint4* tile = few_shared;  // (panels, segments, SEGMENT)
    float* x = (float*)(tile + panels * segments * SEGMENT);  // (rows, segments, SEGMENT_FLOATS)
    float* rest = x + p.block_rows * segments * SEGMENT_FLOATS;

    // The weights are on their way while the inputs are gathered.
    const u32 panel_units = blocks_of(p.depth, 4) * UNITS, units = blocks_of(to - from, 4) * UNITS;
    const u32 bits = p.segment_bits + 7 + (UNITS == 4 ? 2 : UNITS == 2 ? 1 : 0);  // 128 quads a segment
    const u32 there = smaller(panels, panel_count - first_panel);
    uint4 held[2 * UNITS];
#pragma unroll
    for (u32 j = 0; j < 2 * UNITS; j++) {
        u32 i = thread + j * FEW_THREADS, panel = i >> bits, unit = i & ((1u << bits) - 1);
        if (panel < there && unit < units) {
            held[j] = __ldg((const uint4*)p.weights + (u64)(first_panel + panel) * panel_units + from / 4 * UNITS + unit);
        }
    }

    few_inputs(p, x, first_row, rows, from, to);
    if (p.norm) few_normalise(p, x, rest, rows, segments);
#pragma unroll
    for (u32 j = 0; j < 2 * UNITS; j++) {
        u32 i = thread + j * FEW_THREADS, panel = i >> bits, unit = i & ((1u << bits) - 1);
        u32 segment = unit / (SEGMENT_QUADS * UNITS);
        if (panel < there && unit < units) {
            tile[(panel * segments + segment) * SEGMENT + unit % (SEGMENT_QUADS * UNITS)] = held[j];
        }
    }
    __syncthreads();

    // A warp's threads lie so that their quads are in different banks.
    const u32 c = thread % COLUMNS, segment = thread / COLUMNS & (segments - 1);
    const u32 above = thread / COLUMNS >> p.segment_bits, panel = above & (panels - 1), row = above >> p.panel_bits;
    const u32 m = first_row + row, n = (first_panel + panel) * COLUMNS + c, cell = (row * panels + panel) * COLUMNS + c;
    const u32 cells = rows * panels * COLUMNS, parts = part_count(p);
    const bool chains = row < rows && n < p.columns && thread < FEW_CHAINS, stores = chains && segment == 0;
    float residual = 0.0f;
    if (stores && p.residual && !p.splits) residual = p.residual[(u64)m * p.columns + n];
    float sum = 0.0f;
    if (chains) {
        const u32 begin = from + segment * PART, end = smaller(to, begin + PART);
        const Four* column = (const Four*)(tile + (panel * segments + segment) * SEGMENT) + c;
        const float* values = x + (row * segments + segment) * SEGMENT_FLOATS;
        for (u32 a = begin, b, part = parts_before(p, begin); a < end; a = b, part++) {
            b = part_end(p, a);
            sum = few_sum<precision>(p, a == 0 ? __ldg(p.bias + n) : 0.0f, column, values, p.scales + n, begin, a - begin,
                                     b - begin);
            if (p.splits) {
                *kept(p, part, m, n) = sum;
            } else if (parts > 1) {
                rest[part * cells + cell] = sum;
            }
        }
    } else if (thread >= FEW_CHAINS) {
        u64 block = (u64)(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        u64 grid = (u64)gridDim.x * gridDim.y * gridDim.z, others = FEW_THREADS - FEW_CHAINS;
        remember(p, block * others + thread - FEW_CHAINS, grid * others);
    }
    if (p.splits) {
        if (arrives_last(p, blockIdx.z * gridDim.x + blockIdx.x, gridDim.y) && stores) {
            store_sum(p, m, n, sum_of_parts(p, parts, m, n));
        }
        return;
    }
    if (parts > 1) {
        __syncthreads();
        if (stores) {
            sum = rest[cell];
            for (u32 part = 1; part < parts; part++) sum += rest[part * cells + cell];
        }
    }
    if (stores && !row_rests(p, m / p.outputs)) {
        if (p.residual) sum += residual;
        p.out[(u64)m * p.columns + n] = activate(p.activation, sum);
    }
}

extern "C" __global__ void __launch_bounds__(FEW_THREADS, 3) product_few_float32(const ProductArguments p) { product_few<FLOAT32>(p); }
extern "C" __global__ void __launch_bounds__(FEW_THREADS, 3) product_few_bfloat16(const ProductArguments p) { product_few<BFLOAT16>(p); }
extern "C" __global__ void __launch_bounds__(FEW_THREADS, 3) product_few_int8(const ProductArguments p) { product_few<INT8>(p); }
