// Streams and events, copies and fills in them, and graphs recorded from them.

#include "driver.h"

#include <string.h>

#include <memory>
#include <set>

namespace {

std::set<Stream*> streams;
Stream legacy;
thread_local Stream of_thread;

struct Event {
    Stream* stream = nullptr;
    uint64_t place = 0;
};

struct Graph {
    std::vector<Operation> operations;
};

Result check_copy(Address address, size_t bytes) {
    if (Result error = use_context()) return error;
    return bytes && is_device_memory(current, address, bytes) ? SUCCESS : INVALID_VALUE;
}

// A copy from or to host memory that is recorded is done again later: only pinned memory can be relied on.
Result check_host(void* stream, const void* host, size_t bytes) {
    Stream* found = stream_of(stream);
    if (found && found->capturing && !is_pinned(host, bytes)) {
        found->invalidated = true;
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    return SUCCESS;
}

Operation copy(void* to, const void* from, size_t bytes, Address device, const void* host) {
    bool was_pinned = host && is_pinned(host, bytes);
    Context* context = current;
    return [=] {
        trace("copy");
        if (!is_device_memory(context, device, bytes)) fail("a copy uses device memory that was freed");
        if (was_pinned && !is_pinned(host, bytes)) fail("a copy uses pinned memory that was freed");
        memcpy(to, from, bytes);
        return SUCCESS;
    };
}

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

}  // namespace

Stream* stream_of(void* handle) {
    if (handle == nullptr || handle == pointer(1)) return &legacy;
    if (handle == pointer(2)) return &of_thread;
    auto found = streams.find(static_cast<Stream*>(handle));
    return found == streams.end() ? nullptr : *found;
}

Result put(void* handle, Operation operation) {
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capturing) {
        if (stream->recorder != std::this_thread::get_id()) fail("a thread puts work into a stream that another records");
        stream->recorded.push_back(std::move(operation));
        return SUCCESS;
    }
    stream->queue.push_back(std::move(operation));
    stream->put++;
    return SUCCESS;
}

Result run(Stream& stream, uint64_t until) {
    while (stream.done < until && !stream.queue.empty()) {
        Operation operation = std::move(stream.queue.front());
        stream.queue.pop_front();
        stream.done++;
        if (Result error = operation()) {
            stream.done += stream.queue.size();
            stream.queue.clear();
            return error;
        }
    }
    return SUCCESS;
}

bool has_work() {
    bool any = !legacy.queue.empty() || !of_thread.queue.empty();
    // Whose memory it is cannot be told: other streams may be at work, and a driver waits for them before it frees anything.
    for (Stream* stream : streams) any |= streams.size() == 1 && !stream->queue.empty();
    return any;
}

Result refuse_in_capture() {
    for (Stream* stream : streams) {
        if (stream->capturing && stream->recorder == std::this_thread::get_id()) {
            stream->invalidated = true;
            return STREAM_CAPTURE_UNSUPPORTED;
        }
    }
    return SUCCESS;
}

extern "C" {

Result cuStreamCreate(Stream** stream, unsigned) {
    Lock lock(everything);
    if (Result error = use_context()) return error;
    *stream = new Stream;
    (*stream)->context = current;
    streams.insert(*stream);
    alive("stream", 1);
    return SUCCESS;
}

Result cuStreamDestroy_v2(Stream* stream) {
    Lock lock(everything);
    if (!streams.erase(stream)) return INVALID_HANDLE;
    Result error = run(*stream, stream->put);
    delete stream;
    alive("stream", -1);
    return error;
}

Result cuStreamSynchronize(void* handle) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    Stream* stream = stream_of(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capturing) {
        stream->invalidated = true;
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    Result error = run(*stream, stream->put);
    if (is_to_fail("wait")) error = ILLEGAL_ADDRESS;
    if (error) current->lost = error;
    return error;
}

Result cuEventCreate(Event** event, unsigned) {
    Lock lock(everything);
    if (Result error = use_context()) return error;
    *event = new Event;
    alive("event", 1);
    return SUCCESS;
}

Result cuEventDestroy_v2(Event* event) {
    delete event;
    alive("event", -1);
    return SUCCESS;
}

Result cuEventRecord(Event* event, void* handle) {
    Lock lock(everything);
    if (Result error = use_context()) return error;
    Stream* stream = stream_of(handle);
    if (!stream || stream->capturing) return INVALID_HANDLE;
    *event = {stream, stream->put};
    return SUCCESS;
}

Result cuStreamWaitEvent(void* handle, Event* event, unsigned) {
    Lock lock(everything);
    if (Result error = use_context()) return error;
    if (!event->stream) return SUCCESS;
    Event mark = *event;
    return put(handle, [mark] { return run(*mark.stream, mark.place); });
}

Result cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
    Lock lock(everything);
    count(__func__);
    if (Result error = check_copy(to, bytes)) return error;
    if (Result error = check_host(stream, from, bytes)) return error;
    return put(stream, copy(pointer(to), from, bytes, to, from));
}

Result cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
    Lock lock(everything);
    count(__func__);
    if (Result error = check_copy(from, bytes)) return error;
    if (Result error = check_host(stream, to, bytes)) return error;
    return put(stream, copy(to, pointer(from), bytes, from, to));
}

Result cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
    Lock lock(everything);
    count(__func__);
    if (Result error = check_copy(to, bytes)) return error;
    if (Result error = check_copy(from, bytes)) return error;
    if (to < from + bytes && from < to + bytes) return INVALID_VALUE;
    return put(stream, copy(pointer(to), pointer(from), bytes, to, nullptr));
}

Result cuMemsetD32Async(Address to, unsigned word, size_t words, void* stream) {
    Lock lock(everything);
    count(__func__);
    if (Result error = check_copy(to, words * 4)) return error;
    if (to % 4) return INVALID_VALUE;
    Context* context = current;
    return put(stream, [=] {
        trace("fill");
        if (!is_device_memory(context, to, words * 4)) fail("a fill uses device memory that was freed");
        unsigned* start = static_cast<unsigned*>(pointer(to));
        for (size_t i = 0; i < words; i++) start[i] = word;
        return SUCCESS;
    });
}

Result cuStreamBeginCapture_v2(void* handle, unsigned) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    Stream* stream = stream_of(handle);
    if (!stream || stream == &legacy || stream->capturing) return INVALID_VALUE;
    stream->capturing = true;
    stream->invalidated = false;
    stream->recorder = std::this_thread::get_id();
    stream->recorded.clear();
    return SUCCESS;
}

Result cuStreamEndCapture(void* handle, Graph** graph) {
    Lock lock(everything);
    *graph = nullptr;
    Stream* stream = stream_of(handle);
    if (!stream || !stream->capturing) return STREAM_CAPTURE_UNMATCHED;
    if (stream->recorder != std::this_thread::get_id()) return STREAM_CAPTURE_WRONG_THREAD;
    stream->capturing = false;
    std::vector<Operation> recorded = std::move(stream->recorded);
    if (stream->invalidated || is_to_fail("record")) return STREAM_CAPTURE_INVALIDATED;
    *graph = new Graph{std::move(recorded)};
    alive("graph", 1);
    return SUCCESS;
}

Result cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) {
    Lock lock(everything);
    if (Result error = use_context()) return error;
    if (is_to_fail("allocation")) return OUT_OF_MEMORY;
    *executable = new Graph(*graph);
    alive("graph", 1);
    return SUCCESS;
}

Result cuGraphDestroy(Graph* graph) {
    delete graph;
    alive("graph", -1);
    return SUCCESS;
}

Result cuGraphExecDestroy(Graph* graph) { return cuGraphDestroy(graph); }

Result cuGraphUpload(Graph*, void*) {
    Lock lock(everything);
    return use_context();
}

Result cuGraphLaunch(Graph* graph, void* stream) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    if (is_to_fail("replay")) return LAUNCH_OUT_OF_RESOURCES;
    // What is put into the stream outlives the graph, as the driver has it.
    auto operations = std::make_shared<std::vector<Operation>>(graph->operations);
    return put(stream, [operations] {
        trace("graph");
        for (Operation& operation : *operations) {
            if (Result error = operation()) return error;
        }
        return SUCCESS;
    });
}
}
