// A CUDA driver for tests on machines without a GPU: the functions that mimi-cuda calls, on the host's memory.
//
// Work is done as late as the real driver may: a stream only notes what is put into it, until somebody waits for it. So
// whoever reads results too early, or writes again what is still to be copied, finds it out each time.

#pragma once

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

// Numbers of the driver's header, as far as they are used.
enum Result : unsigned {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_INVALIDATED = 901,
    STREAM_CAPTURE_UNMATCHED = 903,
    STREAM_CAPTURE_WRONG_THREAD = 908,
};

typedef uint64_t Address;

// A primary context: what is made in it, and whether it still works.
struct Context {
    int device;
    unsigned retained = 0;
    Result lost = SUCCESS;
};

// Something put into a stream.
typedef std::function<Result()> Operation;

struct Stream {
    Context* context = nullptr;  // of the thread's for the default streams
    std::deque<Operation> queue;
    uint64_t put = 0, done = 0;
    bool capturing = false, invalidated = false;
    std::thread::id recorder;
    std::vector<Operation> recorded;
};

// ---- What all files share

// One lock for all: tests do not measure.
extern std::recursive_mutex everything;
typedef std::lock_guard<std::recursive_mutex> Lock;

extern thread_local Context* current;

// The context of this thread, or why there is none that works.
Result use_context();
// The stream of a handle; null if there is none.
Stream* stream_of(void* handle);
// Puts an operation into a stream, or records it.
Result put(void* stream, Operation operation);
// Does what was put into a stream up to a place.
Result run(Stream& stream, uint64_t until);
// An error for calls that must not be made by a thread that records; it makes the recording worthless.
Result refuse_in_capture();

// Whether this memory is there. Host memory: whether it is pinned.
bool is_device_memory(Context* context, Address address, size_t bytes);
bool is_pinned(const void* start, size_t bytes);
// Whether work is under way that may use memory.
bool has_work();
// Ends the process if something has written where no memory was given.
void check_guards(const char* after);

// Whether this call is one that is to fail.
bool is_to_fail(const char* kind);
// Counts a call, and things that are alive.
void count(const char* function);
void alive(const char* kind, int change);

[[noreturn]] void fail(const std::string& message);
void trace(const char* what);
