// The nearest entry of a codebook: the smallest sqrt(max(|x|^2 + |e|^2 - 2 x e, 0)), and the lowest index among equals.
//
// |e|^2 - 2 x e is summed as the CPU's product does it: along the depth, in parts of 512, the first from |e|^2 on. Blocks
// share the entries. What is left of a vector is taken off by the search in the next codebook, which reads it anyway.

struct SearchArguments {
    const float* x;         // (vectors, dim): what the codebook before was searched for, or the first is to be
    const float* before;    // (entries_before, dim): the codebook before, or null for the first
    const u64* keys_before; // (vectors): what was found in it
    const float* codebook;  // (entries, dim)
    const float* norms;     // (entries): |e|^2
    float* left;            // (vectors, dim): x less the entry of the codebook before; not x. Null where nobody needs it
    u64* keys;              // (vectors): the bits of the smallest distance, then the entry; all ones at the start
    const Session* sessions;
    u32* faults;
    u64 vectors;
    u32 per_row;            // vectors of a row of the step
    u32 dim, entries, entries_before;
    u32 index;              // of the codebook
    u32 measurable;         // whether no entry is too long for distances
};

// The greatest |x|^2 with which distances stay finite.
#define LONGEST (3.402823466e38f / 8.0f)

enum { DEPTH_PART = 512 };

__device__ __forceinline__ bool is_searched(const SearchArguments& a, u64 vector) {
    return vector < a.vectors && !rests(a.sessions, (u32)(vector / a.per_row));
}

// The entry of the codebook before that is to be taken off a vector, or null.
__device__ __forceinline__ const float* taken_off(const SearchArguments& a, u64 vector) {
    if (!a.before) return nullptr;
    u32 entry = (u32)a.keys_before[vector];
    return entry < a.entries_before ? a.before + (u64)entry * a.dim : nullptr;
}

__device__ __forceinline__ void check_length(const SearchArguments& a, float norm) {
    bool fine = norm >= 0.0f && norm <= LONGEST && a.measurable;
    if (!fine) atomicCAS(&a.faults[FAULT_DISTANCE], 0u, 1 + a.index);
}

__device__ __forceinline__ u64 key_of(float product, float norm, u32 entry) {
    float distance = sqrtf(greatest(product + norm, 0.0f));
    return (u64)__float_as_uint(distance) << 32 | entry;
}

__device__ __forceinline__ u64 smaller_key(u64 a, u64 b) { return a < b ? a : b; }

// The smallest key of 16 lanes.
__device__ __forceinline__ u64 smallest_of_lanes(u64 key) {
#pragma unroll
    for (int half = LANES / 2; half > 0; half /= 2) {
        key = smaller_key(key, __shfl_xor_sync(0xffffffffu, key, half, LANES));
    }
    return key;
}

// ---- Few vectors: a block takes 16 entries, whose sums are taken side by side by as many threads for each vector.

enum {
    SEARCH_FEW_ENTRIES = 16,
    SEARCH_FEW_VECTORS = 8,
    SEARCH_FEW_DEPTH = 256,
    SEARCH_FEW_STRIDE = SEARCH_FEW_DEPTH + 4,
    SEARCH_FEW_THREADS = SEARCH_FEW_ENTRIES * SEARCH_FEW_VECTORS
};

extern "C" __global__ void __launch_bounds__(SEARCH_FEW_THREADS) search_few(const SearchArguments a) {
    // A quarter of a warp reads sixteen bytes of as many rows at once: rows begin four banks apart.
    __shared__ __align__(16) float rows[SEARCH_FEW_ENTRIES][SEARCH_FEW_STRIDE];
    __shared__ __align__(16) float vectors[SEARCH_FEW_VECTORS][SEARCH_FEW_DEPTH];
    u32 first_entry = blockIdx.x * SEARCH_FEW_ENTRIES, lane = threadIdx.x % LANES;
    u64 first_vector = (u64)blockIdx.y * SEARCH_FEW_VECTORS;
    u64 vector = first_vector + threadIdx.x / LANES;
    u32 entry = first_entry + lane;
    bool searched = is_searched(a, vector);
    float sum = entry < a.entries ? a.norms[entry] : 0.0f, total = 0.0f, squares = 0.0f;
    for (u32 from = 0; from < a.dim; from += SEARCH_FEW_DEPTH) {
        u32 depth = a.dim - from;
        if (depth > SEARCH_FEW_DEPTH) depth = SEARCH_FEW_DEPTH;
        if (from > 0) __syncthreads();
        // Rows are read one after another, each by all threads: what lies side by side is read side by side.
#pragma unroll
        for (u32 j = 0; j < SEARCH_FEW_ENTRIES * SEARCH_FEW_DEPTH / SEARCH_FEW_THREADS; j++) {
            u32 i = j * SEARCH_FEW_THREADS + threadIdx.x, row = i / SEARCH_FEW_DEPTH, k = i % SEARCH_FEW_DEPTH;
            bool there = k < depth && first_entry + row < a.entries;
            rows[row][k] = there ? -2.0f * a.codebook[(u64)(first_entry + row) * a.dim + from + k] : 0.0f;
        }
        // The vectors of half a warp are read by it.
        const float* off = searched ? taken_off(a, vector) : nullptr;
        for (u32 k = lane; k < SEARCH_FEW_DEPTH; k += LANES) {
            float value = 0.0f;
            if (searched && k < depth) {
                value = a.x[vector * a.dim + from + k];
                if (off) value -= off[from + k];
                if (a.left && blockIdx.x == 0) a.left[vector * a.dim + from + k] = value;
            }
            vectors[threadIdx.x / LANES][k] = value;
            squares = fmaf(value, value, squares);
        }
        __syncthreads();
        if (from > 0 && from % DEPTH_PART == 0) {
            total = from == DEPTH_PART ? sum : total + sum;
            sum = 0.0f;
        }
        const float4* row = (const float4*)rows[lane];
        const float4* values = (const float4*)vectors[threadIdx.x / LANES];
#pragma unroll 8
        for (u32 k = 0; k < (depth + 3) / 4; k++) {
            float4 e = row[k], x = values[k];
            sum = fmaf(x.x, e.x, sum);
            sum = fmaf(x.y, e.y, sum);
            sum = fmaf(x.z, e.z, sum);
            sum = fmaf(x.w, e.w, sum);
        }
    }
    if (a.dim > DEPTH_PART) sum = total + sum;
    float norm = lanes_in_order(squares);
    u64 key = smallest_of_lanes(searched && entry < a.entries ? key_of(sum, norm, entry) : ~0ull);
    if (searched && lane == 0) {
        atomicMin(&a.keys[vector], key);
        if (blockIdx.x == 0) check_length(a, norm);
    }
}

// ---- Many vectors: a block takes 64 entries and 64 vectors, a thread four of each.

enum { SEARCH_MANY = 64, SEARCH_MANY_DEPTH = 32, SEARCH_MANY_STRIDE = SEARCH_MANY + 4, SEARCH_MANY_THREADS = 256 };

extern "C" __global__ void __launch_bounds__(SEARCH_MANY_THREADS) search_many(const SearchArguments a) {
    __shared__ __align__(16) float rows[SEARCH_MANY_DEPTH][SEARCH_MANY_STRIDE];
    __shared__ __align__(16) float vectors[SEARCH_MANY_DEPTH][SEARCH_MANY_STRIDE];
    __shared__ float norms[SEARCH_MANY];
    u32 first_entry = blockIdx.x * SEARCH_MANY;
    u64 first_vector = (u64)blockIdx.y * SEARCH_MANY;
    // The four entries and the four vectors of the thread; lanes 4 times `part` and on of the squares of vector `own`.
    u32 entry = threadIdx.x % 16 * 4, vector = threadIdx.x / 16 * 4, own = threadIdx.x / 4, part = threadIdx.x % 4;
    float sums[4][4], totals[4][4], squares[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            sums[i][j] = first_entry + entry + j < a.entries ? a.norms[first_entry + entry + j] : 0.0f;
            totals[i][j] = 0.0f;
        }
    }
    for (u32 from = 0; from < a.dim; from += SEARCH_MANY_DEPTH) {
        if (from > 0) __syncthreads();
#pragma unroll
        for (u32 j = 0; j < SEARCH_MANY * SEARCH_MANY_DEPTH / SEARCH_MANY_THREADS; j++) {
            u32 i = j * SEARCH_MANY_THREADS + threadIdx.x, row = i / SEARCH_MANY_DEPTH, k = i % SEARCH_MANY_DEPTH;
            bool there = from + k < a.dim && first_entry + row < a.entries;
            rows[k][row] = there ? -2.0f * a.codebook[(u64)(first_entry + row) * a.dim + from + k] : 0.0f;
            u64 at = first_vector + row;
            float value = 0.0f;
            if (from + k < a.dim && is_searched(a, at)) {
                const float* off = taken_off(a, at);
                value = a.x[at * a.dim + from + k];
                if (off) value -= off[from + k];
                if (a.left && blockIdx.x == 0) a.left[at * a.dim + from + k] = value;
            }
            vectors[k][row] = value;
        }
        __syncthreads();
        if (from > 0 && from % DEPTH_PART == 0) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
#pragma unroll
                for (u32 j = 0; j < 4; j++) {
                    totals[i][j] = from == DEPTH_PART ? sums[i][j] : totals[i][j] + sums[i][j];
                    sums[i][j] = 0.0f;
                }
            }
        }
#pragma unroll
        for (u32 k = 0; k < SEARCH_MANY_DEPTH; k += LANES) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                float value = vectors[k + 4 * part + i][own];
                squares[i] = fmaf(value, value, squares[i]);
            }
        }
#pragma unroll 8
        for (u32 k = 0; k < SEARCH_MANY_DEPTH; k++) {
            float4 e = *(const float4*)&rows[k][entry], x = *(const float4*)&vectors[k][vector];
            float es[4] = {e.x, e.y, e.z, e.w}, xs[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
#pragma unroll
                for (u32 j = 0; j < 4; j++) sums[i][j] = fmaf(xs[i], es[j], sums[i][j]);
            }
        }
    }
    // Lanes from the first to the last: four of each of four threads side by side.
    float norm = 0.0f;
#pragma unroll
    for (u32 lane = 0; lane < LANES; lane++) norm += __shfl_sync(0xffffffffu, squares[lane % 4], lane / 4, 4);
    if (part == 0) norms[own] = norm;
    if (part == 0 && blockIdx.x == 0 && is_searched(a, first_vector + own)) check_length(a, norm);
    __syncthreads();
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        u64 key = ~0ull;
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            float sum = a.dim > DEPTH_PART ? totals[i][j] + sums[i][j] : sums[i][j];
            u32 at = first_entry + entry + j;
            if (at < a.entries) key = smaller_key(key, key_of(sum, norms[vector + i], at));
        }
        key = smallest_of_lanes(key);
        u64 at = first_vector + vector + i;
        if (threadIdx.x % 16 == 0 && is_searched(a, at)) atomicMin(&a.keys[at], key);
    }
}

struct CodesArguments {
    const u64* keys;      // (count, vectors)
    u32* codes;           // (vectors, columns)
    u64 vectors;
    u32 count, columns, first, padding;  // codebooks, codes of a vector, and the one that is the first codebook's
};

// What was found, as codes; 0 for a vector of a row that rests.
extern "C" __global__ void __launch_bounds__(256) codes(const CodesArguments a) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= a.vectors * a.count) return;
    u64 key = a.keys[i];
    a.codes[i % a.vectors * a.columns + a.first + i / a.vectors] = key == ~0ull ? 0 : (u32)key;
}
