// From codes to latents: the sum, or the mean, of the entries that a vector's codes name. A thread takes a channel of a vector.

struct EntriesArguments {
    const float* table;  // (count, entries, dim)
    const u32* codes;    // (vectors, columns)
    float* out;          // (vectors, dim)
    const Session* sessions;
    u32* faults;
    u64 vectors;
    u32 per_row;         // vectors of a row of the step
    u32 columns, first;  // codes of a vector, and the one that belongs to the first table
    u32 count;           // tables
    u32 entries, dim;
    u32 mean, padding;   // whether the sum is divided by the count
};

extern "C" __global__ void __launch_bounds__(256) entries(const EntriesArguments a) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    u64 vector = i / a.dim;
    if (vector >= a.vectors || rests(a.sessions, (u32)(vector / a.per_row))) return;
    const u32* codes = a.codes + vector * a.columns + a.first;
    float sum = 0.0f;
    for (u32 k = 0; k < a.count; k++) {
        if (codes[k] < a.entries) {
            sum += a.table[((u64)k * a.entries + codes[k]) * a.dim + i % a.dim];
        } else {
            a.faults[FAULT_CODE] = 1;
        }
    }
    a.out[i] = a.mean ? sum / (float)a.count : sum;
}
