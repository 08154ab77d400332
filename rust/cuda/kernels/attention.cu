// Causal attention over a bounded window, with the keys and values of the window in the CPU's ring: keys in tiles of 64
// positions, channel by channel; values position by position.
//
// A block answers the queries that share a key and value head, of some of at most 16 steps that are new together. Keys and
// values of new steps are taken from the input, so that no block waits for another; each writes those of its own steps into
// the ring, where they overwrite positions that no query of these steps sees.

struct AttentionArguments {
    const float* qkv;     // (rows, steps, heads + 2 kv_heads, head_dim)
    const float* rotary;  // (rows, steps, head_dim): for each step the cosines, then the sines
    float* out;           // (rows, steps, heads, head_dim)
    const Session* sessions;
    u32* faults;
    u64 offset;           // of the ring in a row's state, in floats
    u32 steps;            // of a row
    u32 first, count;     // the steps of this launch: at most 16
    u32 together;         // steps of a block
    u32 heads, kv_heads, head_dim;
    u32 window, capacity; // positions that a query sees, and that the ring holds
    u32 steps_per_frame;
    u32 at_once;          // queries that are answered at once: 1 to 4
    u32 ahead;            // positions that a thread fetches values of at once: up to 32
    float scale;          // of the queries
    u32 padding;
};

enum { ATTENTION_NEW = 16, ATTENTION_TILE = 64, ATTENTION_QUERIES = 4, ATTENTION_AHEAD = 32, ATTENTION_KEYS = 16 };

// Whether twice a value, and the sum of two, are finite: no infinity, no NaN, less than 2^126.
__device__ __forceinline__ bool has_room(float x) { return (__float_as_uint(x) & 0x7fffffffu) < 0x7e800000u; }

// What a block works on.
struct Attended {
    const float* qkv;     // of its row
    const float* rotary;  // of its row
    float *keys, *values; // of its head in the ring
    u64 position;         // of the first step of the launch
    u32 kv_head;
    u32 from, to;         // its steps, counted from the first of the launch
};

__device__ __forceinline__ const float* channels_of(const AttentionArguments& a, const Attended& b, u32 step, u32 head) {
    return b.qkv + ((u64)(a.first + step) * (a.heads + 2 * a.kv_heads) + head) * a.head_dim;
}

// Channel `i` of a head that is turned by the angles of a step. Pairs are `i` and `i + head_dim / 2`.
__device__ __forceinline__ float turned(const AttentionArguments& a, const Attended& b, u32 step, const float* x, u32 i) {
    u32 half = a.head_dim / 2, pair = i < half ? i : i - half;
    const float* angles = b.rotary + (u64)(a.first + step) * a.head_dim;
    float cosine = angles[pair], sine = angles[half + pair], low = x[pair], high = x[half + pair];
    return i < half ? low * cosine - high * sine : high * cosine + low * sine;
}

// The first position that the query at `position` sees.
__device__ __forceinline__ u64 first_seen(const AttentionArguments& a, u64 position) {
    return position + 1 > a.window ? position + 1 - a.window : 0;
}

// Turns the keys of the new steps up to the last of the block, and writes those of its own into the ring.
__device__ __forceinline__ void take_new(const AttentionArguments& a, const Attended& b, float* new_keys, u32 thread, u32 threads) {
    for (u32 i = thread; i < b.to * a.head_dim; i += threads) {
        u32 step = i / a.head_dim, channel = i % a.head_dim;
        const float* x = channels_of(a, b, step, a.heads + b.kv_head);
        float key = turned(a, b, step, x, channel);
        new_keys[channel * ATTENTION_NEW + step] = key;
        if (step < b.from) continue;
        float value = channels_of(a, b, step, a.heads + a.kv_heads + b.kv_head)[channel];
        u32 slot = (u32)((b.position + step) % a.capacity);
        b.keys[(slot / ATTENTION_TILE * a.head_dim + channel) * ATTENTION_TILE + slot % ATTENTION_TILE] = key;
        b.values[(u64)slot * a.head_dim + channel] = value;
        if (!has_room(x[channel]) || !has_room(value)) a.faults[FAULT_ATTENTION] = 1;
    }
}

// Dot products of a position's key with all queries at once.
__device__ __forceinline__ void score(const AttentionArguments& a, const Attended& b, u64 position, const float4* queries, const float* new_keys, float sums[ATTENTION_QUERIES]) {
    const float* keys;
    u32 stride;
    if (position >= b.position) {
        keys = new_keys + (u32)(position - b.position);
        stride = ATTENTION_NEW;
    } else {
        u32 slot = (u32)(position % a.capacity);
        keys = b.keys + (u64)(slot / ATTENTION_TILE) * a.head_dim * ATTENTION_TILE + slot % ATTENTION_TILE;
        stride = ATTENTION_TILE;
    }
#pragma unroll
    for (u32 q = 0; q < ATTENTION_QUERIES; q++) sums[q] = 0.0f;
    for (u32 from = 0; from < a.head_dim; from += ATTENTION_KEYS) {
        float key[ATTENTION_KEYS];
#pragma unroll
        for (u32 i = 0; i < ATTENTION_KEYS; i++) key[i] = from + i < a.head_dim ? keys[(from + i) * stride] : 0.0f;
#pragma unroll
        for (u32 i = 0; i < ATTENTION_KEYS; i++) {
            if (from + i >= a.head_dim) break;
            float4 query = queries[from + i];
            sums[0] = fmaf(query.x, key[i], sums[0]);
            sums[1] = fmaf(query.y, key[i], sums[1]);
            sums[2] = fmaf(query.z, key[i], sums[2]);
            sums[3] = fmaf(query.w, key[i], sums[3]);
        }
    }
}

// Turns the scores of a query, with what fills them up to whole vectors, into e^(score - greatest), and gives 1 / their sum:
// half a warp does as a vector of the CPU does.
__device__ __forceinline__ float softmax(float* scores, u32 count, u32 lane) {
    u32 whole = (count + LANES - 1) / LANES * LANES;
    float most = __int_as_float(0xff800000);
    for (u32 i = lane; i < whole; i += LANES) most = greatest(most, scores[i]);
    float greatest_score = __shfl_sync(0xffffffffu, most, 0, LANES);
#pragma unroll
    for (int i = 1; i < LANES; i++) greatest_score = fmaxf(greatest_score, __shfl_sync(0xffffffffu, most, i, LANES));
    float total = 0.0f;
    for (u32 i = lane; i < whole; i += LANES) {
        float weight = exponential(scores[i] - greatest_score);
        total += weight;
        scores[i] = weight;
    }
    return 1.0f / lanes_in_order(total);
}

// The values that a thread fetches: of every `apart`th position, one channel.
struct Fetched {
    float values[ATTENTION_AHEAD];
};

__device__ __forceinline__ void fetch(const AttentionArguments& a, const Attended& b, Fetched& fetched, u64 first, u64 end, u32 apart, u32 channel) {
    u32 slot = (u32)(first % a.capacity), step = apart % a.capacity;
#pragma unroll
    for (u32 i = 0; i < ATTENTION_AHEAD; i++) {
        u64 position = first + (u64)i * apart;
        fetched.values[i] = 0.0f;
        if (i < a.ahead && position < end) {
            const float* value = position >= b.position
                ? channels_of(a, b, (u32)(position - b.position), a.heads + a.kv_heads + b.kv_head)
                : b.values + (u64)slot * a.head_dim;
            fetched.values[i] = value[channel];
        }
        slot += step;
        if (slot >= a.capacity) slot -= a.capacity;
    }
}

__device__ __forceinline__ void put(const AttentionArguments& a, const Fetched& fetched, float* to, u32 apart) {
#pragma unroll
    for (u32 i = 0; i < ATTENTION_AHEAD; i++) {
        if (i < a.ahead) to[i * apart * a.head_dim] = fetched.values[i];
    }
}

extern "C" __global__ void __launch_bounds__(512) attention(const AttentionArguments a) {
    extern __shared__ float4 memory[];
    __shared__ float inverses[ATTENTION_QUERIES];
    u32 row = blockIdx.y, dim = a.head_dim, served = a.heads / a.kv_heads;
    if (rests(a.sessions, row)) return;

    Attended b;
    Session session = a.sessions[row];
    b.kv_head = blockIdx.x % a.kv_heads;
    b.from = blockIdx.x / a.kv_heads * a.together;
    b.to = b.from + a.together < a.count ? b.from + a.together : a.count;
    b.position = session.frames * a.steps_per_frame + a.first;
    b.qkv = a.qkv + (u64)row * a.steps * (a.heads + 2 * a.kv_heads) * dim;
    b.rotary = a.rotary + (u64)row * a.steps * dim;
    b.keys = session.state + a.offset + (u64)b.kv_head * (2 * (u64)a.capacity * dim + LANES);
    b.values = b.keys + (u64)a.capacity * dim;

    u32 row_of_scores = (a.window + LANES - 1) / LANES * LANES;
    float4* queries = memory;
    float* new_keys = (float*)(queries + dim);
    float* scores = new_keys + ATTENTION_NEW * dim;
    float* values = scores + a.at_once * row_of_scores;

    // The second half of the block fetches values while the first has scores to find.
    u32 half = blockDim.x / 2, helper = threadIdx.x - half, apart = half / dim, chunk = apart * a.ahead;
    bool helps = threadIdx.x >= half, fetches = helps && helper < apart * dim;
    Fetched fetched;

    u32 all = (b.to - b.from) * served;
    for (u32 pass = 0; pass < all; pass += a.at_once) {
        u32 here = all - pass < a.at_once ? all - pass : a.at_once;
        // Queries are counted step by step.
        u64 oldest = first_seen(a, b.position + b.from + pass / served);
        u64 end = b.position + b.from + (pass + here - 1) / served + 1;
        u32 seen = (u32)(end - oldest);
        if (fetches) fetch(a, b, fetched, oldest + helper / dim, end, apart, helper % dim);
        if (pass > 0) {
            __syncthreads();
        } else if (!helps) {
            take_new(a, b, new_keys, threadIdx.x, half);
        }
        for (u32 i = threadIdx.x; i < dim * ATTENTION_QUERIES && !helps; i += half) {
            u32 query = i % ATTENTION_QUERIES, channel = i / ATTENTION_QUERIES;
            float turned_query = 0.0f;
            if (query < here) {
                u32 step = b.from + (pass + query) / served, head = b.kv_head * served + (pass + query) % served;
                const float* x = channels_of(a, b, step, head);
                turned_query = turned(a, b, step, x, channel) * a.scale;
                if (!has_room(x[channel])) a.faults[FAULT_ATTENTION] = 1;
            }
            ((float*)queries)[i] = turned_query;
        }
        __syncthreads();
        if (helps) {
            if (fetches) {
                put(a, fetched, values + (helper / dim) * dim + helper % dim, apart);
                fetch(a, b, fetched, oldest + chunk + helper / dim, end, apart, helper % dim);
            }
        } else {
            for (u32 i = threadIdx.x; i < seen; i += half) {
                float sums[ATTENTION_QUERIES];
                score(a, b, oldest + i, queries, new_keys, sums);
#pragma unroll
                for (u32 q = 0; q < ATTENTION_QUERIES; q++) {
                    if (q >= here) break;
                    u64 last = b.position + b.from + (pass + q) / served, first = first_seen(a, last);
                    if (oldest + i >= first && oldest + i <= last) scores[q * row_of_scores + (u32)(oldest + i - first)] = sums[q];
                }
            }
            // What is left of the last vectors.
            for (u32 i = threadIdx.x; i < here * LANES; i += half) {
                u64 last = b.position + b.from + (pass + i / LANES) / served;
                u32 count = (u32)(last + 1 - first_seen(a, last)), at = count / LANES * LANES + i % LANES;
                if (at >= count && count % LANES != 0) scores[i / LANES * row_of_scores + at] = __int_as_float(0xff800000);
            }
        }
        __syncthreads();
        if (threadIdx.x < ATTENTION_QUERIES * LANES) {
            // All lanes of the two warps take part; those without a query have no scores.
            u32 q = threadIdx.x / LANES;
            u64 last = b.position + b.from + (pass + (q < here ? q : 0)) / served;
            u32 count = q < here ? (u32)(last + 1 - first_seen(a, last)) : 0;
            float inverse = softmax(scores + (q < here ? q : 0) * row_of_scores, count, threadIdx.x % LANES);
            if (threadIdx.x % LANES == 0) inverses[q] = inverse;
        }
        __syncthreads();
        // A channel of a query's answer, from the oldest position to the newest.
        u32 query = threadIdx.x / dim, channel = threadIdx.x % dim;
        bool mixes = query < here;
        u64 last = b.position + b.from + (pass + (mixes ? query : 0)) / served, first = first_seen(a, last);
        float sum = 0.0f;
        for (u64 from = oldest; from < end; from += chunk) {
            if (from > oldest) {
                __syncthreads();
                if (fetches) {
                    put(a, fetched, values + (helper / dim) * dim + helper % dim, apart);
                    fetch(a, b, fetched, from + chunk + helper / dim, end, apart, helper % dim);
                }
                __syncthreads();
            }
            u64 begin = from > first ? from : first, stop = from + chunk < last + 1 ? from + chunk : last + 1;
            if (mixes && begin < stop) {
                const float* weights = scores + query * row_of_scores + (u32)(begin - first);
                const float* value = values + (u32)(begin - from) * dim + channel;
                u32 count = (u32)(stop - begin);
#pragma unroll 16
                for (u32 i = 0; i < count; i++) sum = fmaf(weights[i], value[i * dim], sum);
            }
        }
        if (mixes) {
            u32 step = b.from + (pass + query) / served, head = b.kv_head * served + (pass + query) % served;
            a.out[(((u64)row * a.steps + a.first + step) * a.heads + head) * dim + channel] = sum * inverses[query];
        }
    }
}
