// What all products share: where their left matrix lies, where their sums are cut, how weights are stored, and the history
// that they leave.
//
//     out[m][n] = activation(bias[n] + sum_k left[m][k] * weights[k][n] + residual[m][n])
//
// Row m of the left matrix is the output t = m % outputs of row m / outputs: input t * stride - history + tap * dilation for
// each tap, its channels in order. A dense layer has one tap and no history; a transposed convolution has its history's
// taps and one, and a column for each of the outputs that an input gives.

enum Edge { EDGE_ZERO = 0, EDGE_REPLICATE = 1 };
enum Norm { NORM_NONE = 0, NORM_LAYER = 1, NORM_RMS = 2 };

struct ProductArguments {
    const float* x;            // (rows, steps, c_in)
    const void* weights;       // see below; of one column in float32: (depth)
    const float* scales;       // of int8: (groups, panels of columns)
    const float* bias;         // (panels of columns)
    const float* residual;     // (rows, outputs, columns), or null
    float* out;                // (rows, outputs, columns)
    const Session* sessions;   // (rows); null: every row begins here and nothing is remembered
    float* sums;               // (parts, rows * outputs, columns), where a sum's parts are in several blocks
    u32* arrived;              // zeros, one for each of the blocks that put such parts together
    u32* faults;
    const float* norm_weight;  // (depth)
    const float* norm_bias;    // (depth)
    u64 history_at;            // floats before the history (2, history, c_in) in a session's state
    u32 rows, steps, outputs, c_in, columns, depth;
    u32 stride, dilation, history, edge;
    u32 run, common;           // depths of a run in one piece; the least multiple that runs and parts have in common
    u32 activation, norm;
    float epsilon;
    u32 wide;                  // whether four channels can be read at once
    u32 splits;                // whether parts of a sum are in several blocks
    u32 block_rows, panel_bits, segment_bits;  // of the product of few rows: what a block takes
    u32 block_depth;           // depths that a block takes, a multiple of PART
    u32 padding;
};

// ---- Where sums are cut: after so many depths, and where a run of the left row ends.

enum { PART = 512 };

__device__ __forceinline__ u32 smaller(u32 a, u32 b) { return a < b ? a : b; }
__device__ __forceinline__ u32 blocks_of(u32 a, u32 b) { return (a + b - 1) / b; }

__device__ __forceinline__ u32 part_end(const ProductArguments& p, u32 from) {
    u32 end = smaller((from / PART + 1) * PART, p.depth);
    return p.run == p.depth ? end : smaller(end, (from / p.run + 1) * p.run);
}

// How many parts end at a depth where one ends, or before it.
__device__ __forceinline__ u32 parts_before(const ProductArguments& p, u32 depth) {
    u32 cuts = blocks_of(depth, PART);
    return p.run == p.depth ? cuts : cuts + blocks_of(depth, p.run) - blocks_of(depth, p.common);
}

__device__ __forceinline__ u32 part_count(const ProductArguments& p) { return parts_before(p, p.depth); }

// ---- Weights: panels of four columns; in a panel, quads of four depths; in a quad, the four depths of each column. A panel
// is filled up to whole quads.

enum { COLUMNS = 4, GROUP = 128 };

enum Precision { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2 };

// How four depths of a column are stored.
template <int precision> struct Stored;

template <> struct Stored<FLOAT32> {
    typedef float4 Four;
    static __device__ __forceinline__ float4 widen(float4 four) { return four; }
};

// The upper halves of float32.
template <> struct Stored<BFLOAT16> {
    typedef uint2 Four;
    static __device__ __forceinline__ float4 widen(uint2 four) {
        return make_float4(__uint_as_float(four.x << 16), __uint_as_float(four.x & 0xffff0000u),
                           __uint_as_float(four.y << 16), __uint_as_float(four.y & 0xffff0000u));
    }
};

// Bytes, 128 more than the number, so that none is negative. They are taken 2^24 times, and the scales are made for it: the
// CPU's vectors have a byte at the top of a word.
template <> struct Stored<INT8> {
    typedef u32 Four;
    // 2^47 + byte * 2^24, put together from bits, less 2^47 + 128 * 2^24: nothing is rounded.
    static __device__ __forceinline__ float number(u32 byte) {
        return __uint_as_float(0x57000000u | byte) - __uint_as_float(0x57000080u);
    }
    static __device__ __forceinline__ float4 widen(u32 four) {
        return make_float4(number(four & 0xff), number(four >> 8 & 0xff), number(four >> 16 & 0xff), number(four >> 24));
    }
};

// ---- The left matrix

// A row of it: its element at an offset lies at `at[offset]` from `from` up to `to`, outside of the input before and after.
struct Left {
    const float* at;
    u32 from, to;
};

__device__ __forceinline__ bool row_rests(const ProductArguments& p, u32 row) { return p.sessions && !p.sessions[row].state; }

__device__ __forceinline__ Left left_row(const ProductArguments& p, u32 m) {
    u32 row = m / p.outputs, t = m - row * p.outputs;
    i64 first = ((i64)t * p.stride - p.history) * p.c_in, length = (i64)p.steps * p.c_in, end = length - first;
    u32 from = first < 0 ? (u32)-first : 0;
    return {p.x + row * length + first, from, end < 0x7fffffff ? (u32)end : 0x7fffffffu};
}

// Where an element lies in its row, counted from the first that the row sees.
__device__ __forceinline__ u32 offset_of(const ProductArguments& p, u32 k) {
    return p.run == p.depth ? k : k + k / p.run * (p.dilation - 1) * p.run;
}

// One of the two copies of a session's history.
__device__ __forceinline__ float* history_copy(const ProductArguments& p, const Session& session, u32 copy) {
    return session.state + p.history_at + (u64)copy * p.history * p.c_in;
}

// Where the input at a place of a row lies, counted in floats from the row's first input: in the history for places below
// zero. Null stands for zero.
__device__ __forceinline__ const float* place_in_row(const ProductArguments& p, u32 row, i64 at) {
    i64 length = (i64)p.steps * p.c_in;
    const float* x = p.x + row * length;
    if (at >= 0 && at < length) return x + at;
    if (at < 0 && p.sessions) {
        const Session session = p.sessions[row];
        if (!session.state) return nullptr;
        if (session.frames > 0) return history_copy(p, session, session.parity) + (at + (i64)p.history * p.c_in);
    }
    if (p.edge != EDGE_REPLICATE) return nullptr;
    u32 within = (u32)(at < 0 ? at + (i64)p.history * p.c_in : at - length);
    return x + within % p.c_in + (at < 0 ? 0 : length - p.c_in);
}

// Where the element at depth `k` of row `m` lies; null stands for zero.
__device__ __forceinline__ const float* place(const ProductArguments& p, const Left& left, u32 m, u32 k) {
    u32 offset = offset_of(p, k);
    if (offset >= left.from && offset < left.to) return left.at + offset;
    u32 row = m / p.outputs;
    return place_in_row(p, row, left.at + offset - (p.x + (u64)row * p.steps * p.c_in));
}

// Depths `k` to `k + 3` of row `m`, zeros from `end` on.
__device__ __forceinline__ float4 four_of(const ProductArguments& p, const Left& left, u32 m, u32 k, u32 end) {
    float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 1
    for (u32 i = 0; i < 4; i++) {
        const float* at = k + i < end ? place(p, left, m, k + i) : nullptr;
        if (p.wide) return at ? *(const float4*)at : four;
        four = make_float4(four.y, four.z, four.w, at ? *at : 0.0f);
    }
    return four;
}

// ---- What a product leaves

// Writes the last inputs of each row to the other copy of its history. The threads of the grid share that: this is number
// `thread` of `threads`.
__device__ __forceinline__ void remember(const ProductArguments& p, u64 thread, u64 threads) {
    if (!p.sessions || p.history == 0) return;
    const u32 at_once = p.wide ? 4 : 1, pieces = p.history * p.c_in / at_once;
    // Inputs filled up at the end of a clip are remembered as well, as on the CPU.
    const i64 first = ((i64)p.outputs * p.stride - p.history) * p.c_in;
    for (u64 i = thread; i < (u64)p.rows * pieces; i += threads) {
        const u32 row = (u32)i / pieces, at = ((u32)i - row * pieces) * at_once;
        const Session session = p.sessions[row];
        if (!session.state) continue;
        const float* from = place_in_row(p, row, first + at);
        float* to = history_copy(p, session, 1 - session.parity) + at;
        bool finite = true;
        if (p.wide) {
            float4 four = from ? *(const float4*)from : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            finite = is_finite(four.x) && is_finite(four.y) && is_finite(four.z) && is_finite(four.w);
            *(float4*)to = four;
        } else {
            float value = from ? *from : 0.0f;
            finite = is_finite(value);
            *to = value;
        }
        if (!finite) p.faults[FAULT_CONVOLUTION] = 1;
    }
}

// Stores a whole sum.
__device__ __forceinline__ void store_sum(const ProductArguments& p, u32 m, u32 n, float sum) {
    if (row_rests(p, m / p.outputs)) return;
    u64 at = (u64)m * p.columns + n;
    p.out[at] = finish(sum, p.residual, at, p.activation);
}

// Where a part of a sum is kept for the block that puts the parts together.
__device__ __forceinline__ float* kept(const ProductArguments& p, u32 part, u32 m, u32 n) {
    return p.sums + ((u64)part * p.rows * p.outputs + m) * p.columns + n;
}

// The parts of a sum, added in their order.
__device__ __forceinline__ float sum_of_parts(const ProductArguments& p, u32 parts, u32 m, u32 n) {
    float sum = __ldcg(kept(p, 0, m, n));
    for (u32 part = 1; part < parts; part++) sum += __ldcg(kept(p, part, m, n));
    return sum;
}

// Whether this block is the last of `count` that keep parts for the same outputs. All its threads call it.
__device__ __forceinline__ bool arrives_last(const ProductArguments& p, u32 outputs, u32 count) {
    __threadfence();
    __syncthreads();
    bool last = false;
    if (threadIdx.x == 0) {
        last = atomicAdd(p.arrived + outputs, 1u) == count - 1;
        if (last) p.arrived[outputs] = 0;  // for the next launch
    }
    last = __syncthreads_or(last);
    __threadfence();
    return last;
}
