// The rows of a step, and what layers remember of them.

__device__ __forceinline__ bool rests(const Session* sessions, u32 row) { return sessions && !sessions[row].state; }

// The inputs before a step that a layer remembers of a row, `(history, channels)`.
struct Memory {
    const float* old;  // null for a row that begins: there are none yet
    float* kept;       // where those of the next step are to be written, or null
};

__device__ __forceinline__ Memory memory_of(const Session* sessions, u32 row, u64 offset, u64 floats) {
    if (!sessions || floats == 0) return {nullptr, nullptr};
    Session session = sessions[row];
    float* copies = session.state + offset;
    const float* old = session.frames == 0 ? nullptr : copies + session.parity * floats;
    return {old, copies + (1 - session.parity) * floats};
}
